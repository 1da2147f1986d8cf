package alert

import (
	"maps"
	"slices"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
)

// Severity is how much an alert matters.
type Severity string

// The severities (CONTRACT 5.3).
const (
	Info     Severity = "INFO"
	Warning  Severity = "WARNING"
	Error    Severity = "ERROR"
	Critical Severity = "CRITICAL"
)

// Severities lists them, the least first.
func Severities() []Severity { return []Severity{Info, Warning, Error, Critical} }

// The event types of which a project can be warned (CONTRACT 5.4); those of a provider's key
// are made by NeedsRotation and KeyInvalid.
const (
	NetworkAccessDenied       = audit.NetworkAccessDenied
	ConfigNoLongerValid       = audit.ConfigNoLongerValid
	MaintenanceInAdvance      = audit.Type("MAINTENANCE_IN_ADVANCED")
	MaintenanceAutoDeferred   = audit.Type("MAINTENANCE_AUTO_DEFERRED")
	MaintenanceStarted        = audit.Type("MAINTENANCE_STARTED")
	MaintenanceCompleted      = audit.Type("MAINTENANCE_COMPLETED")
	MaintenanceNoLongerNeeded = audit.Type("MAINTENANCE_NO_LONGER_NEEDED")
)

// Latchkey's own event types: what is going to fail, while there is time to act.
const (
	KeyExpiring         = audit.Type("ENCRYPTION_AT_REST_KEY_EXPIRING")
	CredentialsExpiring = audit.Type("ENCRYPTION_AT_REST_CREDENTIALS_EXPIRING")
	KeyUnprotected      = audit.Type("ENCRYPTION_AT_REST_KEY_UNPROTECTED")
)

// The events of what is done to alerts and their configurations, as the API calls them.
const (
	Acknowledged   = audit.Type("ALERT_ACKNOWLEDGED_AUDIT")
	Unacknowledged = audit.Type("ALERT_UNACKNOWLEDGED_AUDIT")
	ConfigAdded    = audit.Type("ALERT_CONFIG_ADDED_AUDIT")
	ConfigChanged  = audit.Type("ALERT_CONFIG_CHANGED_AUDIT")
	ConfigDeleted  = audit.Type("ALERT_CONFIG_DELETED_AUDIT")
	ConfigEnabled  = audit.Type("ALERT_CONFIG_ENABLED_AUDIT")
	ConfigDisabled = audit.Type("ALERT_CONFIG_DISABLED_AUDIT")
)

// NeedsRotation is the type of the alert that a provider's key has not been rotated for long.
func NeedsRotation(p atlas.Provider) audit.Type {
	return audit.Type(p) + "_ENCRYPTION_KEY_NEEDS_ROTATION"
}

// KeyInvalid is the type of the alert that a provider's key can't be used any more.
func KeyInvalid(p atlas.Provider) audit.Type { return audit.Type(p) + "_ENCRYPTION_KEY_INVALID" }

// need says whether alerts of a type have a threshold.
type need int

const (
	refused need = iota
	optional
	required
)

// eventType is what is known of an event type that can raise alerts.
type eventType struct {
	threshold need
	severity  Severity // unless the configuration overrides it
}

// eventTypes is the one table of the types that can raise alerts.
func eventTypes() map[audit.Type]eventType {
	all := map[audit.Type]eventType{
		NetworkAccessDenied: {severity: Warning}, ConfigNoLongerValid: {severity: Critical},
		KeyExpiring: {severity: Warning}, CredentialsExpiring: {severity: Warning}, KeyUnprotected: {severity: Warning},
		MaintenanceInAdvance: {severity: Info}, MaintenanceAutoDeferred: {severity: Info}, MaintenanceStarted: {severity: Info},
		MaintenanceCompleted: {severity: Info}, MaintenanceNoLongerNeeded: {severity: Info},
	}
	for _, p := range atlas.Providers() {
		all[NeedsRotation(p)] = eventType{threshold: required, severity: Warning}
		all[KeyInvalid(p)] = eventType{threshold: optional, severity: Critical}
	}
	return all
}

// Types lists the event types that can raise alerts, in alphabetical order.
func Types() []audit.Type { return slices.Sorted(maps.Keys(eventTypes())) }

// Dates reports whether a provider's dates raise the type: whether changing its configuration
// may raise an alert at once.
func dated(t audit.Type) bool {
	for _, p := range atlas.Providers() {
		if t == NeedsRotation(p) {
			return true
		}
	}
	return t == KeyExpiring || t == CredentialsExpiring || t == KeyUnprotected
}
