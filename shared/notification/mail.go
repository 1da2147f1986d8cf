package notification

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// MailKind is what an e-mail is about. With the ID it is the e-mail's one name.
type MailKind string

// The kinds of e-mails that are sent whatever alert configurations say.
const (
	// KeyLost tells the owners of a project that clusters stop because their key is gone.
	KeyLost MailKind = "KEY_LOST"
	// MaintenanceAhead tells them of maintenance 72 hours before it.
	MaintenanceAhead MailKind = "MAINTENANCE_AHEAD"
)

// Bounds of an e-mail.
const (
	maxSubject = 200     // characters
	maxText    = 100_000 // bytes: all of a group's clusters find room
)

// retention is how long what was to be sent is kept, and how the delivery ended.
const retention = 30 * 24 * time.Hour

// Mail is an e-mail to people with certain roles. A use case writes it in the transaction that has
// the effect of which it tells; it is sent once, to everybody who has one of the roles by
// then. It holds no secrets.
type Mail struct {
	// ID tells e-mails of a kind apart within the group. It must follow from what the e-mail
	// tells of, so that whoever repeats the transaction writes the same one.
	ID      string   `json:"id"`
	GroupID string   `json:"groupId"`
	OrgID   string   `json:"orgId"`
	Kind    MailKind `json:"kind"`
	// To are roles in the group, or in the organisation for those of organisations.
	To      []identity.Role `json:"to"`
	Subject string          `json:"subject"` // one line
	Text    string          `json:"text"`    // plain text
	Created time.Time       `json:"created"`
}

// Key is where the e-mail is stored.
func (m Mail) Key() store.Key { return keys.Mail(m.GroupID, string(m.Kind), m.ID) }

// Put is the operation that has the e-mail sent. Its transaction conflicts (store.ConflictError
// with Key) if the e-mail was written before: then it is sent anyway, and the caller has nothing to
// do.
func (m Mail) Put() (store.Op, error) {
	if err := m.validate(); err != nil {
		return store.Op{}, err
	}
	item, err := store.Encode(m.Key(), 0, m)
	item.Expires = m.Created.Add(retention)
	return store.Put(item), err
}

func (m Mail) validate() error {
	wrong := ""
	switch {
	case m.ID == "" || m.GroupID == "" || m.Kind == "" || m.Created.IsZero():
		wrong = "it has no name or no date"
	case len(m.To) == 0:
		wrong = "it goes to nobody"
	case m.Subject == "" || utf8.RuneCountInString(m.Subject) > maxSubject || strings.ContainsFunc(m.Subject, unicode.IsControl):
		wrong = "its subject is not one line"
	case m.Text == "" || len(m.Text) > maxText:
		wrong = "it is empty or too long"
	case !utf8.ValidString(m.Subject) || !utf8.ValidString(m.Text):
		wrong = "it is not UTF-8"
	}
	for _, r := range m.To {
		if !identity.IsGroupRole(r) && !identity.IsOrgRole(r) {
			wrong = "it goes to a role that nobody has"
		}
	}
	if wrong != "" {
		return fmt.Errorf("mail %s %s of group %s: %s", m.Kind, m.ID, m.GroupID, wrong)
	}
	return nil
}
