package alert

import (
	"context"
	"errors"
	"net/url"

	"latchkey/shared/atlas"
	"latchkey/shared/seal"
)

// Sealer seals the secrets of notifications, and opens them where an address must be compared.
type Sealer interface {
	Seal(ctx context.Context, plaintext []byte, c seal.Context) (seal.Sealed, error)
	Open(ctx context.Context, s seal.Sealed, c seal.Context) ([]byte, error)
}

// vault seals the secrets of one group's notifications.
type vault struct {
	sealer  Sealer
	groupID string
}

// secrets are a notification's secret members: new ones sealed, and of kept, the stored
// notification behind it, those that the client does not change. A client does not change what
// it leaves out while naming the notification, nor what it sends back as it was shown.
func (v vault) secrets(ctx context.Context, d NotificationDraft, kept *Notification) (map[string]Secret, error) {
	secrets := map[string]Secret{}
	if kept != nil {
		moved, err := v.moved(ctx, d, *kept)
		if err != nil {
			return nil, err
		}
		if moved {
			kept = nil // or its secrets would be sent to whatever address the client names
		}
	}
	for _, m := range d.Type.members() {
		if m.hide == open {
			continue
		}
		value := d.Members[m.name]
		if stored, ok := unchanged(m.name, value, d, kept); ok {
			secrets[m.name] = stored
			continue
		}
		if err := m.check(value); err != nil {
			return nil, err
		}
		if value == "" {
			continue
		}
		sealed, err := v.sealer.Seal(ctx, []byte(value), SecretContext(v.groupID, m.name))
		if err != nil {
			return nil, sealFailure(err)
		}
		secrets[m.name] = Secret{Sealed: sealed, Shown: m.show(value)}
	}
	return secrets, nil
}

func unchanged(name, value string, d NotificationDraft, kept *Notification) (Secret, bool) {
	if kept == nil {
		return Secret{}, false
	}
	stored, ok := kept.Secrets[name]
	named := d.ID != "" && d.ID == kept.ID
	return stored, ok && (value == stored.Shown || value == "" && named)
}

// moved reports whether the client gives the notification an address at another host than it
// had.
func (v vault) moved(ctx context.Context, d NotificationDraft, kept Notification) (bool, error) {
	for _, m := range d.Type.members() {
		stored, ok := kept.Secrets[m.name]
		value := d.Members[m.name]
		if m.hide != address || !ok || value == "" || value == stored.Shown {
			continue
		}
		plain, err := v.sealer.Open(ctx, stored.Sealed, SecretContext(v.groupID, m.name))
		if err != nil {
			return false, sealFailure(err)
		}
		if origin(value) != origin(string(plain)) {
			return true, nil
		}
	}
	return false, nil
}

// origin is where a URL leads, whatever it asks for there.
func origin(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	return u.Scheme + "://" + u.Host
}

// sealFailure is what a client is told of a failure of the seal: 503 if asking again may help.
func sealFailure(err error) error {
	if errors.Is(err, seal.ErrUnavailable) {
		return atlas.Fail(atlas.ServiceUnavailable).Because(err)
	}
	return atlas.Fail(atlas.UnexpectedError).Because(err)
}
