package alert

import (
	"fmt"
	"slices"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
)

// Ending is a way in which a key, or the access to it, comes to an end.
type Ending string

// The endings.
const (
	// ClientSecret is the end of an Azure application's client secret, as the tenant gave it.
	ClientSecret Ending = "CLIENT_SECRET"
	// KeyExpiry is the key's own expiry: Azure "exp", the end of material that was imported into AWS KMS.
	KeyExpiry Ending = "KEY_EXPIRY"
	// Deletion is the day on which AWS deletes a key whose deletion was scheduled.
	Deletion Ending = "PENDING_DELETION"
	// Destruction is the day on which Google destroys a key version whose destruction was
	// scheduled.
	Destruction Ending = "DESTROY_SCHEDULED"
	// SoftDeleteOff and PurgeProtectionOff have no date: whoever deletes the key of such a vault
	// has deleted the data.
	SoftDeleteOff      Ending = "SOFT_DELETE_OFF"
	PurgeProtectionOff Ending = "PURGE_PROTECTION_OFF"
)

// Endings lists them.
func Endings() []Ending {
	return []Ending{ClientSecret, KeyExpiry, Deletion, Destruction, SoftDeleteOff, PurgeProtectionOff}
}

// Stages are the days before an end at which people are warned, each of them anew.
func Stages() []int { return []int{30, 14, 7, 2} }

// Expiry is an end that is known to come.
type Expiry struct {
	Provider atlas.Provider `json:"provider"`
	Ending   Ending         `json:"ending"`
	// Name is what ends: a key's name, a client id, a vault.
	Name string `json:"name"`
	// At is when; zero for what has no date.
	At time.Time `json:"at,omitzero"`
}

// Forewarning is the warning of an end that is due.
type Forewarning struct {
	Type audit.Type
	// Stage is how many days are left at most: one of Stages, or 0 once the end has come. What
	// has no date is at stage 0.
	Stage   int
	Summary string // what ends, and on which date
	Remedy  string // what to do about it
}

// unavoidable reports whether an end that has been decided already is warned of from its first
// day, however far it is.
func (e Ending) unavoidable() bool { return e == Deletion || e == Destruction }

// dateless reports whether the ending is a danger without a date.
func (e Ending) dateless() bool { return e == SoftDeleteOff || e == PurgeProtectionOff }

const day = 24 * time.Hour

// Warning is the warning that is due at a time; ok is false while the end is too far.
func (e Expiry) Warning(now time.Time) (w Forewarning, ok bool) {
	stage, ok := e.stage(now)
	if !ok {
		return Forewarning{}, false
	}
	return Forewarning{Type: e.kind(), Stage: stage, Summary: e.summary(now), Remedy: e.remedy()}, true
}

// kind is the type of the alerts of the end.
func (e Expiry) kind() audit.Type {
	switch {
	case e.Ending == ClientSecret:
		return CredentialsExpiring
	case e.Ending.dateless():
		return KeyUnprotected
	}
	return KeyExpiring
}

// stage is the stage that the end has reached.
func (e Expiry) stage(now time.Time) (stage int, ok bool) {
	left := e.At.Sub(now)
	switch {
	case e.Ending.dateless():
		return 0, true
	case e.At.IsZero():
		return 0, false
	case left <= 0:
		return 0, true
	}
	stages := Stages()
	for _, days := range slices.Backward(stages) {
		if left <= time.Duration(days)*day {
			return days, true
		}
	}
	return stages[0], e.Ending.unavoidable()
}

// Next is when the warning that is due changes next; ok is false if it never does.
func (e Expiry) Next(now time.Time) (at time.Time, ok bool) {
	if e.Ending.dateless() || e.At.IsZero() || !now.Before(e.At) {
		return time.Time{}, false
	}
	for _, days := range Stages() {
		if at := e.At.Add(-time.Duration(days) * day); now.Before(at) {
			return at, true
		}
	}
	return e.At, true
}

func (e Expiry) summary(now time.Time) string {
	date := e.At.UTC().Format("2 January 2006 at 15:04 UTC")
	past := !e.At.IsZero() && !now.Before(e.At)
	switch e.Ending {
	case ClientSecret:
		return sentence(past, "The client secret of the Azure application "+e.Name, "expires", "expired", date)
	case KeyExpiry:
		if e.Provider == atlas.AWS {
			return sentence(past, "The material that was imported into the AWS KMS key "+e.Name, "expires", "expired", date)
		}
		return sentence(past, "The Azure Key Vault key "+e.Name, "expires", "expired", date)
	case Deletion:
		return sentence(past, "The AWS KMS key "+e.Name, "will be deleted", "was to be deleted", date)
	case Destruction:
		return sentence(past, "The Google Cloud KMS key version "+e.Name, "will be destroyed", "was to be destroyed", date)
	case SoftDeleteOff:
		return fmt.Sprintf("The Azure key vault %s has no soft delete: a key that is deleted there is gone at once.", e.Name)
	case PurgeProtectionOff:
		return fmt.Sprintf("The Azure key vault %s has no purge protection: a key that is deleted there can be purged before its retention ends.", e.Name)
	}
	return ""
}

func sentence(past bool, subject, will, did, date string) string {
	if past {
		return subject + " " + did + " on " + date + "."
	}
	return subject + " " + will + " on " + date + "."
}

func (e Expiry) remedy() string {
	switch e.Ending {
	case ClientSecret:
		return "Create a new client secret for the application in Microsoft Entra ID and update the encryption at rest settings with it, or move to a service principal, which needs no secret."
	case KeyExpiry:
		if e.Provider == atlas.AWS {
			return "Import the key material again, with a later date or without any. Clusters stop once it has expired."
		}
		return "Create a new version of the key in Azure Key Vault and update the key identifier in the encryption at rest settings, or set a later expiration date. Clusters stop once the key has expired."
	case Deletion:
		return "Cancel the key's deletion in AWS KMS and enable the key. Data that it encrypts can't be recovered once it is deleted."
	case Destruction:
		return "Restore the key version in Google Cloud KMS and enable it. Data that it encrypts can't be recovered once it is destroyed."
	case SoftDeleteOff:
		return "Turn on soft delete for the key vault."
	case PurgeProtectionOff:
		return "Turn on purge protection for the key vault."
	}
	return ""
}

// Rotation is the age of a provider's key.
type Rotation struct {
	Provider atlas.Provider `json:"provider"`
	Name     string         `json:"name"`
	// Since is when the key's material was last rotated: as the provider tells, or else when the
	// group began to use it. Zero if nobody knows.
	Since time.Time `json:"since,omitzero"`
}

// Days is the key's age in whole days.
func (r Rotation) Days(now time.Time) int64 { return int64(now.Sub(r.Since) / day) }

// condition is what a rotation alert is raised of: 90 days and a moment are above 90 days.
func (r Rotation) condition(now time.Time) Condition {
	days := r.Days(now)
	return Condition{
		Type: NeedsRotation(r.Provider), Subject: string(r.Provider), Announce: true,
		Facts: Facts{
			Value:   Value{Number: days, Units: Days, More: now.After(r.Since.Add(time.Duration(days) * day))},
			Summary: fmt.Sprintf("The key %s was last rotated on %s.", r.Name, r.Since.UTC().Format("2 January 2006")),
			Remedy:  "Rotate the key at its provider, or raise the threshold of this alert if the provider rotates it less often.",
		},
	}
}

// reaches is when the key's age in days comes to what a configuration asks about, or beyond that changes. It is a
// little later than the day ends: 90 days and a moment are above 90 days.
func (r Rotation) reaches(t *Threshold, now time.Time) time.Time {
	days := r.Days(now) + 1
	if t != nil {
		days = max(days, t.Number)
	}
	return r.Since.Add(time.Duration(days)*day + time.Second)
}
