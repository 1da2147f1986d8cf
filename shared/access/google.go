package access

import (
	"context"
	"errors"
	"log/slog"

	"latchkey/shared/audit"
	"latchkey/shared/store"
	"latchkey/shared/verdict"
)

// finishGoogle makes the service account of a role and records the outcome. It may run any
// number of times: the account's address was stored before the first try, and making an
// account that exists succeeds. While Google can't be reached the role stays IN_PROGRESS,
// which clients poll.
func (s *Service) finishGoogle(ctx context.Context, role Role) (Role, error) {
	status := Complete
	err := ask(ctx, func(ctx context.Context) error { return s.Google.Create(ctx, role.Google.Email) })
	if err != nil {
		failure, ok := errors.AsType[*verdict.Failure](err)
		if !ok {
			return Role{}, err
		}
		s.Log.WarnContext(ctx, "service account not made",
			slog.String("roleId", role.ID), slog.String("groupId", role.GroupID), slog.String("error", err.Error()))
		if failure.Class() == verdict.Unreachable || failure.Class() == verdict.Throttled {
			return role, nil
		}
		status = Failed
	}
	google := *role.Google
	google.Status = status
	role.Google = &google
	err = s.save(ctx, role, audit.System(), google.OrgID, "UPDATED")
	if errors.Is(err, store.ErrConflict) {
		return Find(ctx, s.Table, role.GroupID, role.ID) // somebody else finished it
	}
	return role, err
}
