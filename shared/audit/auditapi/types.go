package auditapi

import (
	"context"
	"slices"

	"latchkey/shared/audit"
	"latchkey/shared/httpapi"
)

// EventType describes a type of event.
type EventType struct {
	// Alertable is whether an alert configuration may be made for it.
	Alertable   bool       `json:"alertable"`
	Description string     `json:"description"`
	Type        audit.Type `json:"eventType"`
}

func listEventTypes(_ context.Context, r *httpapi.Request) (httpapi.Response, error) {
	return httpapi.List(r, EventTypes())
}

// EventTypes lists the types that occur here (CONTRACT 5.4), by subject.
func EventTypes() []EventType {
	all := encryptionTypes()
	for _, cloud := range []string{"AWS", "AZURE", "GCP"} {
		all = append(all, keyTypes(cloud)...)
	}
	return slices.Concat(all, accessTypes(), clusterTypes(), snapshotTypes(), alertTypes(), projectTypes(), identityTypes())
}

func keyTypes(cloud string) []EventType {
	prefix := audit.Type(cloud + "_ENCRYPTION_KEY_")
	name := map[string]string{"AWS": "AWS KMS key", "AZURE": "Azure Key Vault key", "GCP": "Google Cloud KMS key version"}[cloud]
	return []EventType{
		{true, "The " + name + " has not been rotated for the configured number of days", prefix + "NEEDS_ROTATION"},
		{false, "The " + name + " has been rotated", prefix + "ROTATED"},
		{true, "The " + name + " cannot be used any more", prefix + "INVALID"},
		{false, "The " + name + " can be used again", prefix + "VALID"},
	}
}

func encryptionTypes() []EventType {
	const prefix audit.Type = "ENCRYPTION_AT_REST_"
	return []EventType{
		{true, "The key management service cannot be reached", prefix + "KMS_NETWORK_ACCESS_DENIED"},
		{false, "The key management service can be reached again", prefix + "KMS_NETWORK_ACCESS_RESTORED"},
		{true, "The encryption at rest configuration is no longer valid", prefix + "CONFIG_NO_LONGER_VALID"},
		{false, "The encryption at rest configuration is valid again", prefix + "CONFIG_IS_VALID"},
		{false, "The encryption at rest configuration was updated", prefix + "CONFIGURATION_UPDATED"},
		{false, "A new encryption at rest configuration failed its validation", prefix + "CONFIGURATION_VALIDATION_FAILED"},
		{false, "A new encryption at rest configuration passed its validation", prefix + "CONFIGURATION_VALIDATION_SUCCEEDED"},
		{false, "The rotation of an encryption key has started", prefix + "KEY_ROTATION_STARTED"},
		{false, "A change of an encryption key, or of the way to it, has started", prefix + "CHANGE_STARTED"},
		{false, "A change of an encryption key, or of the way to it, was taken back, and the former configuration is in use again", prefix + "CHANGE_ROLLED_BACK"},
		{false, "A change of an encryption key, or of the way to it, is finished, and the former configuration destroyed", prefix + "CHANGE_FINISHED"},
		{false, "A private endpoint for encryption at rest was created", prefix + "PRIVATE_ENDPOINT_CREATED"},
		{false, "A private endpoint for encryption at rest was deleted", prefix + "PRIVATE_ENDPOINT_DELETED"},
		{false, "A private endpoint for encryption at rest is in use", prefix + "PRIVATE_ENDPOINT_ACTIVE"},
		{false, "A private endpoint for encryption at rest waits for approval", prefix + "PRIVATE_ENDPOINT_PENDING_ACCEPTANCE"},
		{false, "A private endpoint for encryption at rest failed", prefix + "PRIVATE_ENDPOINT_FAILED"},
		{false, "A private endpoint for encryption at rest was taken away and is made again", prefix + "PRIVATE_ENDPOINT_PENDING_RECREATION"},
		{false, "A rotation of the database master keys was scheduled", "KMIP_KEY_ROTATION_SCHEDULED"},
	}
}

func accessTypes() []EventType {
	var all []EventType
	for _, role := range []struct {
		kind audit.Type
		name string
	}{
		{"AWS_IAM_ROLE", "an AWS IAM role"},
		{"AZURE_SERVICE_PRINCIPAL", "an Azure service principal"},
		{"GCP_SERVICE_ACCOUNT", "a Google Cloud service account"},
	} {
		prefix := "CLOUD_PROVIDER_ACCESS_" + role.kind
		all = append(all, EventType{false, "Access through " + role.name + " was added", prefix + "_ADDED"},
			EventType{false, "Access through " + role.name + " was updated", prefix + "_UPDATED"},
			EventType{false, "Access through " + role.name + " was removed", prefix + "_DELETED"})
	}
	return all
}

func clusterTypes() []EventType {
	return []EventType{
		{false, "A cluster was created", "CLUSTER_CREATED"},
		{false, "A cluster is ready", "CLUSTER_READY"},
		{false, "An update of a cluster was submitted", "CLUSTER_UPDATE_SUBMITTED"},
		{false, "An update of a cluster has started", "CLUSTER_UPDATE_STARTED"},
		{false, "An update of a cluster was completed", "CLUSTER_UPDATE_COMPLETED"},
		{false, "An update of a cluster was rolled back", "CLUSTER_UPDATE_ROLLED_BACK"},
		{false, "A change of a cluster's advanced configuration was submitted", "CLUSTER_PROCESS_ARGS_UPDATE_SUBMITTED"},
		{false, "The deletion of a cluster was submitted", "CLUSTER_DELETE_SUBMITTED"},
		{false, "A cluster was deleted", "CLUSTER_DELETED"},
		{false, "A cluster was paused automatically", "CLUSTER_AUTOMATICALLY_PAUSED"},
		{false, "A node was shut down because its key cannot be used", "CLUSTER_INSTANCE_DISABLED"},
		{false, "A node was started because its key can be used again", "CLUSTER_INSTANCE_ENABLED"},
		{false, "The rotation of the database master keys has started", "MASTER_KEY_ROTATION_STARTED"},
		{false, "The rotation of the database master keys was completed", "MASTER_KEY_ROTATION_COMPLETED"},
		{true, "Maintenance is scheduled", "MAINTENANCE_IN_ADVANCED"},
		{true, "Maintenance was deferred automatically", "MAINTENANCE_AUTO_DEFERRED"},
		{true, "Maintenance has started", "MAINTENANCE_STARTED"},
		{true, "Maintenance was completed", "MAINTENANCE_COMPLETED"},
		{true, "Maintenance is no longer needed", "MAINTENANCE_NO_LONGER_NEEDED"},
	}
}

func snapshotTypes() []EventType {
	return []EventType{
		{false, "A snapshot was requested", "CPS_ON_DEMAND_SNAPSHOT_REQUESTED"},
		{false, "A snapshot has started", "CPS_SNAPSHOT_STARTED"},
		{false, "A snapshot was taken", "CPS_SNAPSHOT_SUCCESSFUL"},
		{false, "A snapshot failed", "CPS_SNAPSHOT_FAILED"},
		{false, "A snapshot was deleted", "CPS_SNAPSHOT_DELETED"},
		{false, "How long a snapshot is kept was changed", "CPS_SNAPSHOT_RETENTION_MODIFIED"},
		{false, "A schedule of snapshots was changed", "CPS_SNAPSHOT_SCHEDULE_UPDATED"},
		{false, "A restore was requested", "CPS_RESTORE_REQUESTED"},
		{false, "A restore was completed", "CPS_RESTORE_SUCCESSFUL"},
		{false, "A restore failed", "CPS_RESTORE_FAILED"},
		{false, "A restore was cancelled", "CPS_RESTORE_CANCELED"},
	}
}

func alertTypes() []EventType {
	return []EventType{
		{true, "An encryption key is going to expire or to be deleted", "ENCRYPTION_AT_REST_KEY_EXPIRING"},
		{true, "The credentials that reach an encryption key are going to expire", "ENCRYPTION_AT_REST_CREDENTIALS_EXPIRING"},
		{true, "A key vault does not protect its keys from deletion", "ENCRYPTION_AT_REST_KEY_UNPROTECTED"},
		{false, "An alert was acknowledged", "ALERT_ACKNOWLEDGED_AUDIT"},
		{false, "The acknowledgement of an alert was undone", "ALERT_UNACKNOWLEDGED_AUDIT"},
		{false, "An alert configuration was added", "ALERT_CONFIG_ADDED_AUDIT"},
		{false, "An alert configuration was changed", "ALERT_CONFIG_CHANGED_AUDIT"},
		{false, "An alert configuration was deleted", "ALERT_CONFIG_DELETED_AUDIT"},
		{false, "An alert configuration was enabled", "ALERT_CONFIG_ENABLED_AUDIT"},
		{false, "An alert configuration was disabled", "ALERT_CONFIG_DISABLED_AUDIT"},
		{false, "A maintenance window was changed", "MAINTENANCE_WINDOW_UPDATED"},
		{false, "Maintenance was deferred", "MAINTENANCE_DEFERRED"},
	}
}

func projectTypes() []EventType {
	return []EventType{
		{false, "An organization was created", "ORG_CREATED"},
		{false, "A project was created", "GROUP_CREATED"},
		{false, "A project was deleted", "GROUP_DELETED"},
		{false, "A project was renamed", "GROUP_NAME_CHANGED"},
		{false, "The tags of a project were changed", "GROUP_TAGS_MODIFIED"},
		{false, "Default alerts were turned on or off for a project", "GROUP_DEFAULT_ALERTS_SETTINGS_CHANGED"},
		{false, "A limit of a project was changed", "PROJECT_LIMIT_UPDATED"},
		{false, "Settings of a project were changed", "GROUP_SETTINGS_UPDATED"},
		{false, "Extended storage sizes were turned on or off for a project", "PROJECT_ENABLE_EXTENDED_STORAGE_SIZES_UPDATED"},
		{false, "The Data Explorer was turned on", "DATA_EXPLORER_ENABLED"},
		{false, "The Data Explorer was turned off", "DATA_EXPLORER_DISABLED"},
		{false, "An attempt was refused for lack of a role", audit.AccessDenied},
	}
}

func identityTypes() []EventType {
	return []EventType{
		{false, "An API key was created", "API_KEY_CREATED"},
		{false, "An API key was deleted", "API_KEY_DELETED"},
		{false, "The description of an API key was changed", "API_KEY_DESCRIPTION_CHANGED"},
		{false, "The roles of an API key were changed", "API_KEY_ROLES_CHANGED"},
		{false, "An API key was added to a project", "API_KEY_ADDED_TO_GROUP"},
		{false, "An API key was removed from a project", "API_KEY_REMOVED_FROM_GROUP"},
		{false, "A service account was created", "SERVICE_ACCOUNT_CREATED"},
		{false, "A service account was deleted", "SERVICE_ACCOUNT_DELETED"},
		{false, "The details of a service account were changed", "SERVICE_ACCOUNT_DETAILS_CHANGED"},
		{false, "The roles of a service account were changed", "SERVICE_ACCOUNT_ROLES_CHANGED"},
		{false, "A service account was added to a project", "SERVICE_ACCOUNT_ADDED_TO_GROUP"},
		{false, "A service account was removed from a project", "SERVICE_ACCOUNT_REMOVED_FROM_GROUP"},
		{false, "A secret was added to a service account", "SERVICE_ACCOUNT_SECRET_ADDED"},
		{false, "A secret of a service account was deleted", "SERVICE_ACCOUNT_SECRET_DELETED"},
	}
}
