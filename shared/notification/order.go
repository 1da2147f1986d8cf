package notification

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"latchkey/shared/alert"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// outOfTurn is why a notification is not sent now, or at all; nil if nothing hinders it. The topic is
// told everything, and what was over as soon as it happened has no order.
func (s *Service) outOfTurn(ctx context.Context, n alert.Notice, d Delivery) (hindrance, err error) {
	if strings.HasPrefix(d.Entry, topicPrefix) || eventOf(n) == Informed {
		return nil, nil
	}
	keepsIncidents := n.Notification.Type == alert.PagerDuty || n.Notification.Type == alert.OpsGenie || n.Notification.Type == alert.VictorOps
	switch {
	case n.Final() && keepsIncidents:
		return s.awaited(ctx, n, d)
	case n.Final():
		return nil, nil
	case keepsIncidents || d.Tries > 1:
		return s.overtaken(ctx, n, keepsIncidents)
	}
	return nil, nil
}

// overtaken drops a notification of what is no longer so: its alert has ended, or a later notification
// of the thread is on its way. Whoever could not be reached for a day is told where things stand, and not
// everything that was missed, in whatever order. Services that keep incidents are to be sure of it: for
// them an alert that is gone has ended too, and reminders change nothing.
func (s *Service) overtaken(ctx context.Context, n alert.Notice, keepsIncidents bool) (hindrance, err error) {
	superseded := &Failure{Reason: Superseded, Permanent: true}
	now, _, err := store.Load[alert.Alert](ctx, s.Table, keys.Alert(n.Alert.GroupID, n.Alert.ID))
	switch isGone := errors.Is(err, store.ErrNotFound); {
	case err != nil && !isGone:
		return nil, err
	case now.Status.Ended() || isGone && keepsIncidents:
		return superseded, nil
	case keepsIncidents:
		return nil, nil
	}
	stage, err := strconv.Atoi(n.Stage)
	if err != nil {
		return nil, err
	}
	_, err = s.Table.Get(ctx, keys.AlertNotice(n.Alert.GroupID, n.Alert.ID, n.Notification.Thread, strconv.Itoa(stage+1)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return superseded, err
}

// awaited has the end of an incident wait for a claim on what opens it. What opens it looks at the alert
// after its claim is stored, and this looks for claims after the alert has ended, so that one of the two
// sees the other.
func (s *Service) awaited(ctx context.Context, n alert.Notice, d Delivery) (hindrance, err error) {
	thread := keys.AlertNotice(n.Alert.GroupID, n.Alert.ID, n.Notification.Thread, "")
	earlier := keys.Delivery(n.Alert.GroupID, thread.SK)
	items, err := store.All(ctx, s.Table, store.Query{PK: earlier.PK, Prefix: earlier.SK})
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		other, err := store.Decode[Delivery](item)
		if err != nil {
			return nil, err
		}
		if other.Entry != d.Entry && other.State == Claimed && s.Now().Before(other.Next) {
			return &Failure{Reason: OutOfTurn}, nil
		}
	}
	return nil, nil
}
