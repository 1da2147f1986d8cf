package notification_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/notification"
	"latchkey/shared/store"
)

func aMail() notification.Mail {
	return notification.Mail{
		ID: "1", GroupID: "650000000000000000000001", OrgID: "650000000000000000000002", Kind: notification.KeyLost,
		To: []identity.Role{identity.GroupOwner}, Subject: "A subject", Text: "A text.\n", Created: time.Unix(1_800_000_000, 0).UTC(),
	}
}

func TestMail_is_stored_once(t *testing.T) {
	table := identitytest.Table(t)
	m := aMail()
	for attempt, want := range []error{nil, store.ErrConflict} {
		op, err := m.Put()
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Write(t.Context(), op); !errors.Is(err, want) {
			t.Errorf("write %d gives %v, want %v", attempt, err, want)
		}
	}
	item, err := table.Get(t.Context(), m.Key())
	if err != nil || !item.Expires.Equal(m.Created.Add(30*24*time.Hour)) {
		t.Errorf("the item expires %v, %v", item.Expires, err)
	}
}

func TestMail_that_cannot_be_sent_is_not_written(t *testing.T) {
	for what, spoil := range map[string]func(*notification.Mail){
		"no id":                       func(m *notification.Mail) { m.ID = "" },
		"no group":                    func(m *notification.Mail) { m.GroupID = "" },
		"nobody":                      func(m *notification.Mail) { m.To = nil },
		"a role that nobody has":      func(m *notification.Mail) { m.To = []identity.Role{"KING"} },
		"a header in the subject":     func(m *notification.Mail) { m.Subject = "a\r\nBcc: all@example.com" },
		"a subject without end":       func(m *notification.Mail) { m.Subject = strings.Repeat("a", 201) },
		"a text without end":          func(m *notification.Mail) { m.Text = strings.Repeat("a", 100_001) },
		"a text in another encoding":  func(m *notification.Mail) { m.Text = "\xff" },
		"an e-mail that has no date":  func(m *notification.Mail) { m.Created = time.Time{} },
		"an e-mail that says nothing": func(m *notification.Mail) { m.Text = "" },
	} {
		m := aMail()
		spoil(&m)
		if _, err := m.Put(); err == nil {
			t.Errorf("%s: it is written", what)
		}
	}
}
