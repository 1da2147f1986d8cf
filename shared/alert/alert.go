// Package alert warns: it keeps the configurations that say what a project wants to hear of
// and how, the alerts that these raise, and the notifications that have to be delivered.
//
// A producer tells what holds and what no longer does (Service.Raise, Service.Clear); the
// configurations decide whether that is an alert. What happens to an alert is a pure function of the
// alert, its configuration and the time. Its invariants: a configuration has at most one live alert
// of a subject; a notification is stored in the transaction that counts it, so that each falls due once
// and none is lost; secrets of notifications are sealed before they are stored.
package alert

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"strconv"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Status is where an alert is in its life.
type Status string

// The statuses (CONTRACT 5.2).
const (
	Tracking  Status = "TRACKING"  // what it warns of holds, but not for the shortest delay yet
	Open      Status = "OPEN"      // what it warns of holds
	Closed    Status = "CLOSED"    // it no longer holds
	Cancelled Status = "CANCELLED" // its configuration no longer asks for it
)

// Ended reports whether nothing can happen to the alert any more.
func (s Status) Ended() bool { return s == Closed || s == Cancelled }

// Alert is one incident of which a project is warned.
type Alert struct {
	ID       string     `json:"id"`
	GroupID  string     `json:"groupId"`
	OrgID    string     `json:"orgId"`
	ConfigID string     `json:"configId"`
	Type     audit.Type `json:"type"`
	Subject  string     `json:"subject"`
	Facts    Facts      `json:"facts"`
	Status   Status     `json:"status"`
	Created  time.Time  `json:"created"`
	Updated  time.Time  `json:"updated"`
	// LastNotified is when any notification last fell due; zero before the first.
	LastNotified time.Time `json:"lastNotified,omitzero"`
	// Resolved is when the alert was closed.
	Resolved        time.Time        `json:"resolved,omitzero"`
	Acknowledgement *Acknowledgement `json:"acknowledgement,omitempty"`
	// Progress is what was sent, by thread (see Notification.Thread).
	Progress map[string]Progress `json:"progress,omitempty"`

	version int64
}

// Facts say what an alert is about. Matchers see the names; people read the sentences.
type Facts struct {
	ClusterID       string `json:"clusterId,omitempty"`
	ClusterName     string `json:"clusterName,omitempty"`
	ReplicaSetName  string `json:"replicaSetName,omitempty"`
	HostnameAndPort string `json:"hostnameAndPort,omitempty"`
	// Value is what a threshold is compared with; Units is "" if there is none.
	Value Value `json:"value,omitzero"`
	// Summary says what is the matter, and Remedy what to do about it.
	Summary string `json:"summary,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
	// Ends is the date that the summary speaks of; zero if it speaks of none.
	Ends time.Time `json:"ends,omitzero"`
}

// Value is a measured quantity in whole units.
type Value struct {
	Number int64  `json:"number"`
	Units  string `json:"units"`
	// More says that it is more than the number of units, though not yet one more.
	More bool `json:"more,omitempty"`
}

// same reports whether two sets of facts say the same.
func (f Facts) same(g Facts) bool {
	ends := f.Ends.Equal(g.Ends)
	f.Ends, g.Ends = time.Time{}, time.Time{}
	return ends && f == g
}

// Acknowledgement is somebody's word that the alert is known; it is silent until the time.
type Acknowledgement struct {
	Until   time.Time `json:"until"`
	Comment string    `json:"comment,omitempty"`
	By      string    `json:"by"` // the API key's public key, or the service account's client id
}

// Progress is what an alert has sent along one thread.
type Progress struct {
	Sent int       `json:"sent,omitempty"`
	Last time.Time `json:"last,omitzero"`
	// Earliest is when the first notification may be sent at the earliest, if what the alert
	// warns of came back soon after it was gone.
	Earliest time.Time `json:"earliest,omitzero"`
}

// condition points from a configuration and a subject to the newest alert of the two.
type condition struct {
	Subject string `json:"subject"`
	AlertID string `json:"alertId,omitempty"`
	Episode int    `json:"episode"` // alerts so far
	// Observed is when what the record reflects was seen. What was seen earlier changes nothing.
	Observed time.Time `json:"observed,omitzero"`

	version int64
}

// digest stands for a subject in a key, whatever the subject contains.
func digest(subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return hex.EncodeToString(sum[:16])
}

// alertID is the id of an episode: of the form of all ids, sorting by age, and the same whoever
// computes it, so that two who see the same make one alert.
func alertID(configID, subject string, episode int, created time.Time) string {
	sum := sha256.Sum256([]byte(configID + "\x00" + strconv.Itoa(episode) + "\x00" + subject))
	const seconds, rest = 4, 8
	id := binary.BigEndian.AppendUint32(make([]byte, 0, seconds+rest), uint32(created.Unix())) //nolint:gosec // wraps in 2106, as all ids do
	return hex.EncodeToString(append(id, sum[:rest]...))
}

// put is the operation that stores the alert if nobody changed it meanwhile. config is its
// present configuration, nil if it has none, and retention how long it is kept after its end.
func (a Alert) put(config *Config, now time.Time, retention time.Duration) (store.Op, error) {
	item, err := store.Encode(keys.Alert(a.GroupID, a.ID), a.version, a)
	if a.Status.Ended() {
		if retention > 0 {
			item.Expires = a.Updated.Add(retention)
		}
		return store.Put(item), err
	}
	item.Index = keys.AlertDue(a.next(config, now), a.GroupID, keys.AlertPrefix+a.ID)
	return store.Put(item), err
}

func decodeAlert(item store.Item) (Alert, error) {
	a, err := store.Decode[Alert](item)
	a.version = item.Version
	return a, err
}

// withProgress returns the alert with the progress of one thread replaced; the alert itself
// stays as it is.
func (a Alert) withProgress(thread string, p Progress) Alert {
	progress := make(map[string]Progress, len(a.Progress)+1)
	maps.Copy(progress, a.Progress)
	progress[thread] = p
	a.Progress = progress
	return a
}
