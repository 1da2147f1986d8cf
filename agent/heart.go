package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/node/protocol"
)

// heart keeps in touch with the control plane.
type heart struct {
	agent *Agent
	alone bool // the last heartbeat was not answered
}

// beat reports and listens until ctx ends: when the control plane asks for it, and at once when
// there is news, but never more than once in MinInterval.
func (h *heart) beat(ctx context.Context) {
	wait := backoff{jitter: h.agent.cfg.Jitter}
	for {
		next, err := h.once(ctx)
		if ctx.Err() != nil {
			return
		}
		h.note(ctx, err)
		if err != nil {
			next = wait.next(err)
		} else {
			wait.reset()
		}
		h.agent.inbox.answered()
		if h.pause(ctx, next, err == nil) != nil {
			return
		}
	}
}

// pause waits for the next heartbeat. News doesn't shorten a back-off.
func (h *heart) pause(ctx context.Context, next time.Duration, newsCount bool) error {
	if err := sleep(ctx, min(next, protocol.MinInterval)); err != nil || next <= protocol.MinInterval {
		return err
	}
	news := h.agent.inbox.changed
	if !newsCount {
		news = nil
	}
	timer := time.NewTimer(next - protocol.MinInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-news:
	case <-timer.C:
	}
	return nil
}

// once delivers what is to be acknowledged, then reports and takes the answer. An
// acknowledgement that does not get through must not keep the node from hearing commands.
func (h *heart) once(ctx context.Context) (time.Duration, error) {
	box, cfg := h.agent.inbox, h.agent.cfg
	undelivered := h.deliver(ctx)
	answer, err := cfg.Client.heartbeat(ctx, h.agent.Report())
	if err != nil {
		return 0, err
	}
	if len(answer.ControlPlaneKey) > 0 {
		box.setSealTo(answer.ControlPlaneKey)
	}
	if answer.Acknowledge && !undelivered {
		undelivered = box.repeat()
	}
	if err := answer.Command.Validate(); err != nil && answer.Command.Number > 0 {
		// An agent that is too old for a command keeps its node as it is.
		cfg.Log.LogAttrs(ctx, slog.LevelError, "unknown command", slog.Int64("command", answer.Command.Number), slog.Any("error", err))
	} else if box.accept(answer.Command) {
		cfg.Log.LogAttrs(ctx, slog.LevelInfo, "command", slog.Int64("command", answer.Command.Number),
			slog.String("kind", string(answer.Command.Kind)), slog.String("state", string(answer.Command.Target)))
	}
	if undelivered || cfg.Engine.Status().Phase == Starting {
		return min(answer.Next(), cfg.MaxInterval, soon), nil
	}
	return min(answer.Next(), cfg.MaxInterval), nil
}

// soon is when to call again while an acknowledgement is not delivered, or while the database
// becomes ready: that is news which nothing here announces.
const soon = 5 * time.Second

// deliver reports whether an acknowledgement is left to deliver.
func (h *heart) deliver(ctx context.Context) bool {
	box, cfg := h.agent.inbox, h.agent.cfg
	ack := box.undelivered()
	if ack == nil {
		return false
	}
	err := cfg.Client.ack(ctx, *ack)
	if err != nil && !refusedForGood(err) {
		return true
	}
	if err != nil {
		cfg.Log.LogAttrs(ctx, slog.LevelWarn, "acknowledgement refused", slog.Int64("command", ack.Command), slog.Any("error", err))
	}
	box.deliver(ack)
	return false
}

// refusedForGood reports whether repeating the same request is pointless.
func refusedForGood(err error) bool {
	refused, ok := errors.AsType[*APIError](err)
	return ok && refused.Status >= 400 && refused.Status < 500 &&
		refused.Status != http.StatusTooManyRequests && refused.Status != http.StatusRequestTimeout &&
		refused.Code != atlas.NodeTokenRefused && refused.Code != atlas.UnexpectedError
}

// note logs when contact is lost and found, once each.
func (h *heart) note(ctx context.Context, err error) {
	if alone := err != nil; alone != h.alone {
		h.alone = alone
		if alone {
			h.agent.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "no contact with the control plane", slog.Any("error", err))
		} else {
			h.agent.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "in contact with the control plane")
		}
	}
}
