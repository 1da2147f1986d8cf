package project

import "latchkey/shared/audit"

// The types of the events that this package writes. All but SettingsUpdated are the API's.
const (
	OrgCreated           audit.Type = "ORG_CREATED"
	GroupCreated         audit.Type = "GROUP_CREATED"
	GroupDeleted         audit.Type = "GROUP_DELETED"
	GroupNameChanged     audit.Type = "GROUP_NAME_CHANGED"
	GroupTagsModified    audit.Type = "GROUP_TAGS_MODIFIED"
	DefaultAlertsChanged audit.Type = "GROUP_DEFAULT_ALERTS_SETTINGS_CHANGED"
	DataExplorerEnabled  audit.Type = "DATA_EXPLORER_ENABLED"
	DataExplorerDisabled audit.Type = "DATA_EXPLORER_DISABLED"
	ExtendedStorage      audit.Type = "PROJECT_ENABLE_EXTENDED_STORAGE_SIZES_UPDATED"
	LimitUpdated         audit.Type = "PROJECT_LIMIT_UPDATED"
	// SettingsUpdated stands for the settings that the API has no event type for.
	SettingsUpdated audit.Type = "GROUP_SETTINGS_UPDATED"
)
