package suite

import (
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/audit"
	"latchkey/shared/maintenance"
	"latchkey/shared/project"
	"latchkey/shared/store"
)

// AlertDeps are what the services of alerts and of maintenance windows need. Fields without a
// comment are required.
type AlertDeps struct {
	Table   store.Table
	Journal audit.Journal
	// Sealer seals the secrets of notifications; only who acts for a client needs it.
	Sealer alert.Sealer
	Now    func() time.Time
}

// Alerts assembles the alert service. An alert is kept after its end for as long as the events
// that tell of it.
func Alerts(d AlertDeps) *alert.Service {
	return &alert.Service{
		Table: d.Table, Journal: d.Journal, Groups: d.groups(), Sealer: d.Sealer, Now: d.Now, Retention: d.Journal.Retention,
	}
}

// Maintenance assembles the service of maintenance windows, which warns of what is to come.
func Maintenance(d AlertDeps) *maintenance.Service {
	return &maintenance.Service{Table: d.Table, Journal: d.Journal, Groups: d.groups(), Alerts: Alerts(d), Now: d.Now}
}

func (d AlertDeps) groups() *project.Service {
	return &project.Service{Table: d.Table, Journal: d.Journal, Now: d.Now}
}
