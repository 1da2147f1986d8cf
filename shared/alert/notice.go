package alert

import (
	"time"

	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// noticeRetention is how long a notification is kept: long enough to deliver it after any outage
// of the delivery, and to see what was sent.
const noticeRetention = 30 * 24 * time.Hour

// Notice is one notification that has fallen due. It is stored in the transaction that counts it;
// whoever delivers it finds everything in it, whatever became of the configuration.
type Notice struct {
	// Alert is the alert after the notification was counted.
	Alert Alert `json:"alert"`
	// Stage is which notification of the thread it is, from "1", or the status that ended the
	// alert.
	Stage        string       `json:"stage"`
	Due          time.Time    `json:"due"`
	Severity     Severity     `json:"severity"`
	Notification Notification `json:"notification"`
}

// Final reports whether the notice tells of the alert's end.
func (n Notice) Final() bool { return Status(n.Stage).Ended() }

// Key is where the notice is stored: the one name of this notification.
func (n Notice) Key() store.Key {
	return keys.AlertNotice(n.Alert.GroupID, n.Alert.ID, n.Notification.Thread, n.Stage)
}

func (a Alert) notice(c Config, n Notification, stage string, now time.Time) Notice {
	return Notice{Alert: a, Stage: stage, Due: now, Severity: c.SeverityOf(), Notification: n}
}

func (n Notice) put() (store.Op, error) {
	item, err := store.Encode(n.Key(), 0, n)
	item.Expires = n.Due.Add(noticeRetention)
	return store.Put(item), err
}
