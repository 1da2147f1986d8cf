package atlas

import "net/http"

// General codes (CONTRACT 1.5).
const (
	UnexpectedError        Code = "UNEXPECTED_ERROR"
	Unauthenticated        Code = "UNAUTHENTICATED" // written as UNEXPECTED_ERROR by the gateway response; see identity
	UserUnauthorized       Code = "USER_UNAUTHORIZED"
	UserCannotAccessGroup  Code = "USER_CANNOT_ACCESS_GROUP"
	UserCannotAccessOrg    Code = "USER_CANNOT_ACCESS_ORG"
	MalformedJSON          Code = "MALFORMED_JSON"
	InvalidJSON            Code = "INVALID_JSON"
	InvalidJSONAttribute   Code = "INVALID_JSON_ATTRIBUTE"
	MissingAttribute       Code = "MISSING_ATTRIBUTE"
	MissingOneOfAttributes Code = "MISSING_ONE_OF_ATTRIBUTES"
	MissingAttributes      Code = "MISSING_ATTRIBUTES"
	InvalidAttribute       Code = "INVALID_ATTRIBUTE"
	InvalidPathParameter   Code = "INVALID_PATH_PARAMETER"
	InvalidQueryParameter  Code = "INVALID_QUERY_PARAMETER"
	InvalidEnumValue       Code = "INVALID_ENUM_VALUE"
	InvalidRegion          Code = "INVALID_REGION"
	InvalidProvider        Code = "INVALID_PROVIDER"
	ValidationError        Code = "VALIDATION_ERROR"
	RequestTooLarge        Code = "REQUEST_TOO_LARGE"
	MethodNotAllowed       Code = "METHOD_NOT_ALLOWED"
	ResourceNotFound       Code = "RESOURCE_NOT_FOUND"
	InvalidVersionDate     Code = "INVALID_VERSION_DATE"
	VersionGone            Code = "VERSION_GONE"
	RateLimited            Code = "RATE_LIMITED_TOKEN_BUCKET"
	ConcurrentModification Code = "CONCURRENT_MODIFICATION"
	ServiceUnavailable     Code = "SERVICE_UNAVAILABLE"
)

// Projects, organisations and identities (CONTRACT 7).
const (
	GroupNotFound             Code = "GROUP_NOT_FOUND"
	InvalidGroupID            Code = "INVALID_GROUP_ID"
	GroupNameNotFound         Code = "GROUP_NAME_NOT_FOUND"
	GroupAlreadyExists        Code = "GROUP_ALREADY_EXISTS"
	InvalidGroupName          Code = "INVALID_GROUP_NAME"
	CannotCloseGroupClusters  Code = "CANNOT_CLOSE_GROUP_ACTIVE_ATLAS_CLUSTERS"
	CannotCloseGroupEndpoints Code = "CANNOT_CLOSE_GROUP_ACTIVE_PRIVATE_ENDPOINTS"
	OrgNotFound               Code = "ORG_NOT_FOUND"
	InvalidOrgID              Code = "INVALID_ORG_ID"
	EventNotFound             Code = "EVENT_NOT_FOUND"

	APIKeyNotFound               Code = "API_KEY_NOT_FOUND"
	APIKeyRequiresDescription    Code = "API_KEY_REQUIRES_DESCRIPTION"
	MissingAPIKeyRoles           Code = "MISSING_API_KEY_ROLES"
	MaxAPIKeysReached            Code = "MAX_PUBLIC_API_KEY_REACHED"
	InvalidRoleForOrg            Code = "INVALID_ROLE_FOR_ORG"
	InvalidRoleForGroup          Code = "INVALID_ROLE_FOR_GROUP"
	CannotDemoteLastOrgOwner     Code = "CANNOT_DEMOTE_LAST_ORG_OWNER"
	CannotDeleteLastAdmin        Code = "CANNOT_DELETE_LAST_ADMIN"
	ServiceAccountNotFound       Code = "SERVICE_ACCOUNT_NOT_FOUND"
	ServiceAccountSecretNotFound Code = "SERVICE_ACCOUNT_SECRET_NOT_FOUND"
	MaxServiceAccountsReached    Code = "MAX_SERVICE_ACCOUNTS_REACHED"
	MaxSecretsReached            Code = "MAX_SERVICE_ACCOUNT_SECRETS_REACHED"
)

// Encryption at rest (CONTRACT 3.6) and cloud provider access (CONTRACT 4).
const (
	MissingEARProvider      Code = "MISSING_ENCRYPTION_AT_REST_PROVIDER"
	InvalidEARProvider      Code = "INVALID_ENCRYPTION_AT_REST_PROVIDER"
	EARProviderNotSupported Code = "ENCRYPTION_AT_REST_PROVIDER_NOT_SUPPORTED"
	EARSettingsInvalid      Code = "ENCRYPTION_AT_REST_SETTINGS_INVALID"
	NoPermission            Code = "NO_PERMISSION_TO_ENCRYPT_DECRYPT"
	KMSUnreachable          Code = "ENCRYPTION_AT_REST_KMS_UNREACHABLE"
	CannotRotateDisabled    Code = "CANNOT_ROTATE_KEY_ENCRYPTION_DISABLED"

	AWSKeyNotFound           Code = "AWS_CUSTOMER_MASTER_KEY_NOT_FOUND"
	AWSKeyNotEnabled         Code = "AWS_KMS_CUSTOMER_MASTER_KEY_NOT_ENABLED"
	AWSKeyPendingDeletion    Code = "AWS_KMS_CUSTOMER_MASTER_KEY_PENDING_DELETION"
	AWSKeyPendingImport      Code = "AWS_KMS_CUSTOMER_MASTER_KEY_PENDING_IMPORT"
	AWSKeyUnsuitable         Code = "AWS_KMS_CUSTOMER_MASTER_KEY_NOT_SUPPORTED"
	AWSRegionNotSupported    Code = "AWS_KMS_REGION_NOT_SUPPORTED"
	InvalidAWSCredentials    Code = "INVALID_AWS_CREDENTIALS"
	AWSCredentialsDeprecated Code = "AWS_KMS_CREDENTIALS_AUTH_DEPRECATED"
	CannotAssumeRole         Code = "CANNOT_ASSUME_ROLE"

	AzureEnvironmentNotSupported Code = "AZURE_KEY_VAULT_ENVIRONMENT_NOT_SUPPORTED"
	AzureKeyExpired              Code = "AZURE_KEY_VAULT_KEY_EXPIRED"
	AzureKeyExpiring             Code = "AZURE_KEY_VAULT_KEY_EXPIRING"
	AzureKeyIdentifierInvalid    Code = "AZURE_KEY_VAULT_KEY_IDENTIFIER_INVALID_FORMAT"
	AzureKeyNotActive            Code = "AZURE_KEY_VAULT_KEY_NOT_ACTIVE"
	AzureKeyNotEnabled           Code = "AZURE_KEY_VAULT_KEY_NOT_ENABLED"
	AzureKeyNotFound             Code = "AZURE_KEY_VAULT_KEY_NOT_FOUND"
	AzureKeyUnsuitable           Code = "AZURE_KEY_VAULT_KEY_NOT_SUPPORTED"
	AzureCredentialsDeprecated   Code = "AZURE_KEY_VAULT_CREDENTIALS_DEPRECATED"
	InvalidAzureAPIRequest       Code = "INVALID_AZURE_API_REQUEST"
	InvalidAzureCredentials      Code = "INVALID_AZURE_CREDENTIALS"
	CannotAuthenticateSP         Code = "CANNOT_AUTHENTICATE_SERVICE_PRINCIPAL"
	AzureServicePrincipalInvalid Code = "CLOUD_PROVIDER_ACCESS_AZURE_SERVICE_PRINCIPAL_INVALID"

	GoogleKeyDestroyScheduled Code = "GOOGLE_CLOUD_KMS_KEY_VERSION_DESTROY_SCHEDULED"
	GoogleKeyDestroyed        Code = "GOOGLE_CLOUD_KMS_KEY_VERSION_DESTROYED"
	GoogleKeyDisabled         Code = "GOOGLE_CLOUD_KMS_KEY_VERSION_DISABLED"
	GoogleKeyNotFound         Code = "GOOGLE_CLOUD_KMS_KEY_VERSION_NOT_FOUND"
	GoogleKeyUnsuitable       Code = "GOOGLE_CLOUD_KMS_KEY_VERSION_NOT_SUPPORTED"
	GoogleKeyPending          Code = "GOOGLE_CLOUD_KMS_KEY_VERSION_PENDING_GENERATION"
	InvalidGoogleCredentials  Code = "INVALID_GOOGLE_CLOUD_CREDENTIALS"
	GoogleCredentialsRefused  Code = "GOOGLE_CLOUD_KMS_CREDENTIALS_AUTH_REFUSED"

	RoleNotFound      Code = "CLOUD_PROVIDER_ACCESS_ROLE_NOT_FOUND"
	RoleNotAuthorized Code = "CLOUD_PROVIDER_ACCESS_ROLE_NOT_AUTHORIZED"
	RoleInUse         Code = "AWS_IAM_ROLE_IN_USE"

	CannotDisableEAREndpoints      Code = "CANNOT_DISABLE_ENCRYPTION_AT_REST_DUE_TO_PRIVATE_ENDPOINTS"
	CannotDisablePrivateNetworking Code = "CANNOT_DISABLE_ENCRYPTION_AT_REST_REQUIRE_PRIVATE_NETWORKING_WHILE_PRIVATE_ENDPOINTS_EXIST"
	EndpointDeleteBlocked          Code = "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_DELETE_BLOCKED_DURING_PROVISIONING"
	EndpointExists                 Code = "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_ALREADY_EXISTS"  // no code is documented
	PrivateNetworkingNotRequired   Code = "ENCRYPTION_AT_REST_PRIVATE_NETWORKING_NOT_REQUIRED"  // no code is documented
	PrivateNetworkingNotSupported  Code = "ENCRYPTION_AT_REST_PRIVATE_NETWORKING_NOT_SUPPORTED" // no code is documented
	AttributeReadOnly              Code = "ATTRIBUTE_READ_ONLY"

	ServicePrincipalInUse Code = "AZURE_SERVICE_PRINCIPAL_IN_USE"
	ServiceAccountInUse   Code = "GCP_SERVICE_ACCOUNT_IN_USE"
)

// Clusters (CONTRACT 6.4).
const (
	ClusterNotFound                 Code = "CLUSTER_NOT_FOUND"
	DuplicateClusterName            Code = "DUPLICATE_CLUSTER_NAME"
	ClusterNameInvalid              Code = "CLUSTER_NAME_INVALID"
	ClusterCannotChangeName         Code = "CLUSTER_CANNOT_CHANGE_NAME"
	ClusterAlreadyRequestedDeletion Code = "CLUSTER_ALREADY_REQUESTED_DELETION"
	CannotTerminateProtected        Code = "CANNOT_TERMINATE_CLUSTER_WHEN_TERMINATION_PROTECTION_ENABLED"
	InvalidClusterConfiguration     Code = "INVALID_CLUSTER_CONFIGURATION"
	InsufficientInstanceSize        Code = "INSUFFICIENT_INSTANCE_SIZE"
	AsymmetricShardUnsupported      Code = "ASYMMETRIC_SHARD_UNSUPPORTED"
	CannotUseFlexInClusterAPI       Code = "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API"
	CannotUseNonFlexInFlexAPI       Code = "CANNOT_USE_NON_FLEX_CLUSTER_IN_FLEX_API"
	CannotCreatePausedCluster       Code = "CANNOT_CREATE_PAUSED_CLUSTER"
	ClusterAlreadyPaused            Code = "CLUSTER_ALREADY_PAUSED"
	CannotUpdatePausedCluster       Code = "CANNOT_UPDATE_PAUSED_CLUSTER"
	CannotUpdateAndPauseCluster     Code = "CANNOT_UPDATE_AND_PAUSE_CLUSTER"
	CannotPausePendingChanges       Code = "CANNOT_PAUSE_CLUSTER_WITH_PENDING_CHANGES"
	CannotPauseRecentlyResumed      Code = "CANNOT_PAUSE_RECENTLY_RESUMED_CLUSTER"
	EARNotEnabled                   Code = "ENCRYPTION_AT_REST_NOT_ENABLED"
	CannotUseEARTenant              Code = "CANNOT_USE_ENCRYPTION_AT_REST_TENANT"
	CannotDisableEAR                Code = "CANNOT_DISABLE_ENCRYPTION_AT_REST"
	CannotChangeEARProvider         Code = "CANNOT_CHANGE_ENCRYPTION_AT_REST_PROVIDER"
	CannotUseEARBackupType          Code = "CANNOT_USE_ENCRYPTION_AT_REST_BACKUP_TYPE"
	MultiCloudClusterInvalid        Code = "MULTI_CLOUD_CLUSTER_INVALID"
	MaxClustersExceeded             Code = "MAX_CLUSTERS_PER_GROUP_EXCEEDED" // no code is documented
)

// Snapshots, their schedule and restores.
const (
	SnapshotNotFound                 Code = "SNAPSHOT_NOT_FOUND"
	RestoreJobNotFound               Code = "RESTORE_JOB_NOT_FOUND"
	BackupJobNotFound                Code = "BACKUP_JOB_NOT_FOUND"
	CannotDeleteInProgressSnapshot   Code = "CANNOT_DELETE_IN_PROGRESS_SNAPSHOT"
	CannotModifyInProgressSnapshot   Code = "CANNOT_MODIFY_IN_PROGRESS_SNAPSHOT_RETENTION"
	CannotDeleteFromClusterSnapshot  Code = "CANNOT_DELETE_FROM_CLUSTER_SNAPSHOT"
	UnfinishedOnDemandSnapshot       Code = "UNFINISHED_ON_DEMAND_SNAPSHOT"
	CannotDownloadEncryptedSnapshot  Code = "CANNOT_DOWNLOAD_SNAPSHOT_WITH_ENCRYPTION"
	InvalidSnapshotRestoreEncryption Code = "INVALID_SNAPSHOT_RESTORE_ENCRYPTION"
	UnsupportedDeliveryMethod        Code = "UNSUPPORTED_DELIVERY_METHOD"
	ClusterPausedCannotRestore       Code = "CLUSTER_PAUSED_CANNOT_RESTORE"
	ClusterRestoreInProgress         Code = "ATLAS_CLUSTER_RESTORE_IN_PROGRESS"
	InvalidBackupPolicy              Code = "INVALID_BACKUP_POLICY"
	InvalidPolicyCount               Code = "INVALID_NUM_OF_POLICIES"
	InvalidPolicyID                  Code = "INVALID_POLICY_ID"
	InvalidPolicyItemID              Code = "INVALID_POLICY_ITEM_ID"
	InvalidFrequencyTypeChange       Code = "INVALID_FREQUENCY_TYPE_CHANGE"
	InvalidRestoreWindow             Code = "INVALID_RESTORE_WINDOW"
	InvalidReferenceHour             Code = "INVALID_REFERENCE_HOUR_OF_DAY"
	InvalidReferenceMinute           Code = "INVALID_REFERENCE_MINUTE_OF_HOUR"
)

// Alerts and their configurations (CONTRACT 5.5).
const (
	AlertNotFound              Code = "ALERT_NOT_FOUND"
	AlertConfigNotFound        Code = "ALERT_CONFIG_NOT_FOUND"
	InvalidAlertID             Code = "INVALID_ALERT_ID"
	InvalidAlertConfigID       Code = "INVALID_ALERT_CONFIG_ID"
	InvalidAlertStatus         Code = "INVALID_ALERT_STATUS"
	InvalidEventTypeForAlert   Code = "INVALID_EVENT_TYPE_FOR_ALERT"
	InvalidOperatorForType     Code = "INVALID_OPERATOR_FOR_EVENT_TYPE"
	MissingThreshold           Code = "MISSING_THRESHOLD"
	ThresholdPresent           Code = "THRESHOLD_PRESENT"
	MetricThresholdPresent     Code = "METRIC_THRESHOLD_PRESENT"
	UnitsMismatch              Code = "UNITS_MISMATCH"
	MissingNotifications       Code = "MISSING_NOTIFICATIONS"
	NotificationInterval       Code = "NOTIFICATION_INTERVAL_OUT_OF_RANGE"
	TooManyGroupNotifications  Code = "TOO_MANY_GROUP_NOTIFICATIONS"
	GroupNotificationNeedsWay  Code = "EMAIL_OR_SMS_REQUIRED_FOR_GROUP_NOTIFICATION"
	UserNotificationNeedsWay   Code = "EMAIL_OR_SMS_REQUIRED_FOR_USER_NOTIFICATION"
	GroupNotificationNeedsRole Code = "MISSING_ROLES_FOR_GROUP_NOTIFICATION"
	UnsupportedNotification    Code = "UNSUPPORTED_NOTIFICATION_TYPE"
	MaxAlertConfigsExceeded    Code = "MAX_ALERT_CONFIGS_PER_GROUP_EXCEEDED"
	MaxNotificationsExceeded   Code = "MAX_NOTIFICATIONS_PER_ALERT_EXCEEDED"
	AttributeNegative          Code = "ATTRIBUTE_NEGATIVE"
)

// Maintenance windows (CONTRACT 7.6).
const (
	MaintenanceDayInvalid        Code = "ATLAS_INVALID_MAINTENANCE_WINDOW_DAY_OF_WEEK"
	MaintenanceHourInvalid       Code = "ATLAS_INVALID_MAINTENANCE_WINDOW_HOUR_OF_DAY"
	MaintenanceAlreadyScheduled  Code = "ATLAS_MAINTENANCE_ALREADY_SCHEDULED"
	MaintenanceNotScheduled      Code = "ATLAS_MAINTENANCE_NOT_SCHEDULED"
	MaintenanceWindowNotDefined  Code = "ATLAS_MAINTENANCE_WINDOW_NOT_DEFINED"
	MaintenanceDeferralsExceeded Code = "ATLAS_NUM_MAINTENANCE_DEFERRALS_EXCEEDED"
	MaintenanceNonCompliant      Code = "NON_COMPLIANT_ATLAS_MAINTENANCE_WINDOW"
)

// Nodes and their agents (docs/agent.md); Latchkey's own.
const (
	NodeTokenRefused     Code = "NODE_TOKEN_REFUSED"
	NodeEnrolmentRefused Code = "NODE_ENROLMENT_REFUSED"
	NodeNotFound         Code = "NODE_NOT_FOUND"
	NodeDisabled         Code = "NODE_DISABLED"
	NodeNotEncrypted     Code = "NODE_NOT_ENCRYPTED"
	NodeKMSUnreachable   Code = "NODE_KMS_UNREACHABLE"
	MasterKeyNotFound    Code = "MASTER_KEY_NOT_FOUND"
	TooManyMasterKeys    Code = "TOO_MANY_MASTER_KEYS"
	WrappedKeyInvalid    Code = "WRAPPED_MASTER_KEY_INVALID"
	SealedKeyInvalid     Code = "SEALED_MASTER_KEY_INVALID"
)

// sentence is what a code means to a client. detail is a format for the error's Params.
type sentence struct {
	status int
	detail string
}

// codes is the one table from code to status and sentence. A code that is missing here
// answers 500 with the sentence of UNEXPECTED_ERROR. Sentences that the real service is known
// to send are kept as they are (CONTRACT 3.6, CLIENTS D), since people search for them.
var codes = map[Code]sentence{
	UnexpectedError:        {http.StatusInternalServerError, "Unexpected error."},
	Unauthenticated:        {http.StatusUnauthorized, "You are not authorized for this resource."},
	UserUnauthorized:       {http.StatusUnauthorized, "Current user is not authorized to perform this action."},
	UserCannotAccessGroup:  {http.StatusUnauthorized, "Current user cannot access group with ID %v."},
	UserCannotAccessOrg:    {http.StatusUnauthorized, "Current user cannot access organization with ID %v."},
	MalformedJSON:          {http.StatusBadRequest, "Received JSON is malformed."},
	InvalidJSON:            {http.StatusBadRequest, "Received JSON does not match expected format."},
	InvalidJSONAttribute:   {http.StatusBadRequest, "Received JSON for the %v attribute does not match expected format."},
	MissingAttribute:       {http.StatusBadRequest, "The required attribute %v was not specified."},
	MissingOneOfAttributes: {http.StatusBadRequest, "Either the %v attribute or the %v attribute must be specified."},
	MissingAttributes:      {http.StatusBadRequest, "The required attributes %v were not specified."},
	InvalidAttribute:       {http.StatusBadRequest, "Invalid attribute %v specified."},
	InvalidPathParameter:   {http.StatusBadRequest, "An invalid path parameter %v was specified."},
	InvalidQueryParameter:  {http.StatusBadRequest, "An invalid query parameter %v was specified."},
	InvalidEnumValue:       {http.StatusBadRequest, "An invalid enumeration value %v was specified."},
	InvalidRegion:          {http.StatusBadRequest, "No region %v exists for provider %v."},
	InvalidProvider:        {http.StatusBadRequest, "The specified provider %v is not valid."},
	ValidationError:        {http.StatusBadRequest, "Validation failed for the request body."},
	RequestTooLarge:        {http.StatusRequestEntityTooLarge, "The request body is larger than %v bytes."},
	MethodNotAllowed:       {http.StatusMethodNotAllowed, "The method %v is not allowed for this resource."},
	ResourceNotFound:       {http.StatusNotFound, "Cannot find resource %v."},
	InvalidVersionDate:     {http.StatusNotAcceptable, "Invalid accept header or version date."},
	VersionGone:            {http.StatusGone, "Version %v of %v is no longer available."},
	RateLimited:            {http.StatusTooManyRequests, "Rate limit exceeded for %v. Please retry after %v seconds. Request capacity: %v. Refill rate: %v per %v seconds."},
	ConcurrentModification: {http.StatusConflict, "The resource was changed by another request at the same time. Nothing was written; read it again and retry."},
	ServiceUnavailable:     {http.StatusServiceUnavailable, "The service cannot answer right now. Nothing was changed; please retry."},

	GroupNotFound:             {http.StatusNotFound, "No group with ID %v exists."},
	InvalidGroupID:            {http.StatusNotFound, "An invalid group ID %v was specified."},
	GroupNameNotFound:         {http.StatusNotFound, "No group with name %v exists."},
	GroupAlreadyExists:        {http.StatusConflict, "A group with name \"%v\" already exists."},
	InvalidGroupName:          {http.StatusBadRequest, "Group name \"%v\" is invalid."},
	CannotCloseGroupClusters:  {http.StatusConflict, "Cannot close group while it has active clusters. Terminate all clusters in the group first."},
	CannotCloseGroupEndpoints: {http.StatusConflict, "Cannot close group while it has active private endpoints. Remove them first."},
	OrgNotFound:               {http.StatusNotFound, "No organization with ID %v exists."},
	InvalidOrgID:              {http.StatusNotFound, "An invalid organization ID %v was specified."},
	EventNotFound:             {http.StatusNotFound, "No event with ID %v exists."},

	APIKeyNotFound:               {http.StatusNotFound, "No API key with ID %v exists."},
	APIKeyRequiresDescription:    {http.StatusBadRequest, "All API keys require a non-empty description."},
	MissingAPIKeyRoles:           {http.StatusBadRequest, "API keys must have at least one role."},
	MaxAPIKeysReached:            {http.StatusForbidden, "You have reached the limit of max number of API keys. You can have at most %v API keys."},
	InvalidRoleForOrg:            {http.StatusBadRequest, "Role %v invalid for organization %v."},
	InvalidRoleForGroup:          {http.StatusBadRequest, "Role %v is invalid for group %v."},
	CannotDemoteLastOrgOwner:     {http.StatusForbidden, "Cannot demote the last owner of the organization."},
	CannotDeleteLastAdmin:        {http.StatusForbidden, "An organization or project needs to have at least one owner. You cannot demote or remove the last owner."},
	ServiceAccountNotFound:       {http.StatusNotFound, "No service account with client ID %v exists."},
	ServiceAccountSecretNotFound: {http.StatusNotFound, "No secret with ID %v exists for the service account."},
	MaxServiceAccountsReached:    {http.StatusForbidden, "You have reached the limit of service accounts. An organization can have at most %v service accounts."},
	MaxSecretsReached:            {http.StatusBadRequest, "A service account can have at most %v secrets. Delete one first."},

	MissingEARProvider:      {http.StatusBadRequest, "At least one Encryption at Rest provider must be specified."},
	InvalidEARProvider:      {http.StatusBadRequest, "Encryption at Rest provider %v is invalid."},
	EARProviderNotSupported: {http.StatusBadRequest, "Encryption at Rest provider %v is not supported here."},
	EARSettingsInvalid:      {http.StatusBadRequest, "Atlas is unable to access your encryption key. You cannot change your encryption key until access to your current encryption key has been restored."},
	NoPermission:            {http.StatusBadRequest, "The credentials have no permission to encrypt and decrypt with the key %v."},
	KMSUnreachable:          {http.StatusServiceUnavailable, "The key management provider could not be reached, so the key was not validated. Nothing was changed."},
	CannotRotateDisabled:    {http.StatusConflict, "Cannot change the key because Encryption at Rest is not enabled for %v."},

	AWSKeyNotFound:           {http.StatusNotFound, "The AWS KMS customer master key %v was not found in region %v."},
	AWSKeyNotEnabled:         {http.StatusBadRequest, "The AWS KMS customer master key %v is not enabled."},
	AWSKeyPendingDeletion:    {http.StatusBadRequest, "The AWS KMS customer master key %v is pending deletion."},
	AWSKeyPendingImport:      {http.StatusBadRequest, "The AWS KMS customer master key %v is waiting for its key material to be imported."},
	AWSKeyUnsuitable:         {http.StatusBadRequest, "The AWS KMS key %v cannot be used: it must be a symmetric encryption key."},
	AWSRegionNotSupported:    {http.StatusBadRequest, "AWS KMS is not supported in region %v."},
	InvalidAWSCredentials:    {http.StatusBadRequest, "Invalid AWS credentials."},
	AWSCredentialsDeprecated: {http.StatusBadRequest, "Credentials based authentication is no longer supported for AWS KMS."},
	CannotAssumeRole:         {http.StatusBadRequest, "Atlas cannot assume the specified role (%v)."},

	AzureEnvironmentNotSupported: {http.StatusBadRequest, "The Azure environment %v is not supported."},
	AzureKeyExpired:              {http.StatusBadRequest, "The Azure Key Vault key %v has expired."},
	AzureKeyExpiring:             {http.StatusBadRequest, "The Azure Key Vault key %v expires within 48 hours."},
	AzureKeyIdentifierInvalid:    {http.StatusBadRequest, "The Azure Key Vault key identifier %v has an invalid format."},
	AzureKeyNotActive:            {http.StatusBadRequest, "The Azure Key Vault key %v is not active yet."},
	AzureKeyNotEnabled:           {http.StatusBadRequest, "The Azure Key Vault key %v is not enabled."},
	AzureKeyNotFound:             {http.StatusBadRequest, "The Azure Key Vault key %v was not found."},
	AzureKeyUnsuitable:           {http.StatusBadRequest, "The Azure Key Vault key %v cannot be used: it must be an RSA key that may encrypt and decrypt."},
	AzureCredentialsDeprecated:   {http.StatusBadRequest, "Credentials based authentication is no longer supported for Azure Key Vault in this group."},
	InvalidAzureAPIRequest:       {http.StatusBadRequest, "Azure refused the request as invalid."},
	InvalidAzureCredentials:      {http.StatusBadRequest, "Invalid Azure credentials."},
	CannotAuthenticateSP:         {http.StatusBadRequest, "Atlas cannot authenticate as the service principal %v."},
	AzureServicePrincipalInvalid: {http.StatusBadRequest, "The Azure service principal %v is invalid."},

	GoogleKeyDestroyScheduled: {http.StatusBadRequest, "The Google Cloud KMS key version %v is scheduled to be destroyed."},
	GoogleKeyDestroyed:        {http.StatusBadRequest, "The Google Cloud KMS key version %v has been destroyed."},
	GoogleKeyDisabled:         {http.StatusBadRequest, "The Google Cloud KMS key version %v is disabled."},
	GoogleKeyNotFound:         {http.StatusBadRequest, "The Google Cloud KMS key version %v was not found."},
	GoogleKeyUnsuitable:       {http.StatusBadRequest, "The Google Cloud KMS key version %v cannot be used: its key must be for symmetric encryption."},
	GoogleKeyPending:          {http.StatusBadRequest, "The Google Cloud KMS key version %v is still being generated."},
	InvalidGoogleCredentials:  {http.StatusBadRequest, "Invalid Google Cloud credentials."},
	GoogleCredentialsRefused:  {http.StatusBadRequest, "Service account keys are no longer accepted for Google Cloud KMS in this group because it uses role-based access."},

	RoleNotFound:      {http.StatusNotFound, "The specified Cloud Provider Access role (%v) was not found."},
	RoleNotAuthorized: {http.StatusBadRequest, "The specified Cloud Provider Access role (%v) has not been authorized."},
	RoleInUse:         {http.StatusBadRequest, "Cannot remove the AWS IAM role because it is still in use."},

	ServicePrincipalInUse: {http.StatusBadRequest, "Cannot remove the Azure service principal because it is still in use."},
	ServiceAccountInUse:   {http.StatusBadRequest, "Cannot remove the GCP service account because it is still in use."},

	CannotDisableEAREndpoints:      {http.StatusBadRequest, "Encryption at Rest cannot be disabled when private endpoints are present."},
	CannotDisablePrivateNetworking: {http.StatusBadRequest, "Cannot disable requirePrivateNetworking field when there are private endpoints. Remove private endpoints in region(s) %v to disable requirePrivateNetworking."},
	EndpointDeleteBlocked:          {http.StatusBadRequest, "Failed to delete Encryption at Rest Private endpoint with id %v during IN_PROGRESS state. Please try again later."},
	EndpointExists:                 {http.StatusConflict, "An Encryption at Rest private endpoint already exists in region %v."},
	PrivateNetworkingNotRequired:   {http.StatusBadRequest, "Private endpoints need requirePrivateNetworking, which is not enabled for provider %v."},
	PrivateNetworkingNotSupported:  {http.StatusBadRequest, "Encryption at Rest over private networking is not supported in this project."},
	AttributeReadOnly:              {http.StatusBadRequest, "The attribute %v is read-only."},

	ClusterNotFound:                 {http.StatusNotFound, "No cluster named %v exists in group %v."},
	DuplicateClusterName:            {http.StatusBadRequest, "A cluster named %v is already present in group %v."},
	ClusterNameInvalid:              {http.StatusBadRequest, "The cluster name %v is invalid. The name can only contain ASCII letters, numbers, and hyphens."},
	ClusterCannotChangeName:         {http.StatusBadRequest, "Cannot change name of cluster during an update."},
	ClusterAlreadyRequestedDeletion: {http.StatusBadRequest, "The cluster %v has already been requested for deletion."},
	CannotTerminateProtected:        {http.StatusBadRequest, "Cannot terminate a cluster when termination protection is enabled. Disable termination protection and try again."},
	InvalidClusterConfiguration:     {http.StatusBadRequest, "The specified cluster configuration is not valid."},
	InsufficientInstanceSize:        {http.StatusBadRequest, "This feature requires instance size %v or larger."},
	AsymmetricShardUnsupported:      {http.StatusBadRequest, "Cluster %v has shards that differ from each other, which this version of the API cannot show."},
	CannotUseFlexInClusterAPI:       {http.StatusBadRequest, "Cannot use flex cluster %v in the cluster API."},
	CannotUseNonFlexInFlexAPI:       {http.StatusBadRequest, "Cannot use non-flex cluster %v in the flex API."},
	CannotCreatePausedCluster:       {http.StatusBadRequest, "Cluster %v cannot be created in a paused state."},
	ClusterAlreadyPaused:            {http.StatusConflict, "Cannot pause a cluster that is already paused."},
	CannotUpdatePausedCluster:       {http.StatusConflict, "Cannot update cluster %v while it is paused or being paused."},
	CannotUpdateAndPauseCluster:     {http.StatusConflict, "Cannot update and pause cluster %v at the same time."},
	CannotPausePendingChanges:       {http.StatusConflict, "Cannot pause a cluster with pending changes."},
	CannotPauseRecentlyResumed:      {http.StatusBadRequest, "Recently resumed clusters must remain running for %v minutes to process all queued maintenance."},
	EARNotEnabled:                   {http.StatusBadRequest, "Encryption at Rest is not enabled for group %v."},
	CannotUseEARTenant:              {http.StatusBadRequest, "Cannot use Encryption at Rest with tenant clusters."},
	CannotChangeEARProvider: {http.StatusConflict, "To choose a different Encryption at Rest provider, please disable and re-enable this feature. " +
		"This will decrypt your data and allow you to encrypt it with a different Encryption at Rest provider."},
	CannotUseEARBackupType:   {http.StatusBadRequest, "Cannot use Encryption at Rest with clusters running legacy backup."},
	MultiCloudClusterInvalid: {http.StatusBadRequest, "Multi-Cloud clusters are not currently supported by the API."},
	MaxClustersExceeded:      {http.StatusBadRequest, "Maximum number of clusters per group (%v) in %v exceeded while trying to add cluster."},
	CannotDisableEAR:         {http.StatusConflict, "Cannot disable Encryption at Rest because it is still enabled on one or more clusters in the group."},

	SnapshotNotFound:                 {http.StatusNotFound, "No snapshot with ID %v exists for cluster %v."},
	RestoreJobNotFound:               {http.StatusNotFound, "No restore job with ID %v exists for cluster %v."},
	BackupJobNotFound:                {http.StatusNotFound, "Backups are not enabled for this cluster."},
	CannotDeleteInProgressSnapshot:   {http.StatusBadRequest, "Cannot delete an in progress snapshot %v."},
	CannotModifyInProgressSnapshot:   {http.StatusBadRequest, "Snapshot retention can only be modified once it is completed."},
	CannotDeleteFromClusterSnapshot:  {http.StatusForbidden, "Cannot individually delete a snapshot that is part of a cluster snapshot."},
	UnfinishedOnDemandSnapshot:       {http.StatusBadRequest, "Another on-demand snapshot is queued or in progress."},
	CannotDownloadEncryptedSnapshot:  {http.StatusBadRequest, "Cannot download snapshots with Encryption at Rest enabled."},
	InvalidSnapshotRestoreEncryption: {http.StatusBadRequest, "Encryption settings of target cluster and source snapshot are different."},
	UnsupportedDeliveryMethod:        {http.StatusBadRequest, "The specified delivery method is not supported."},
	ClusterPausedCannotRestore:       {http.StatusBadRequest, "Backup restore cannot occur on a paused cluster. Please unpause the target cluster or choose another target cluster."},
	ClusterRestoreInProgress:         {http.StatusConflict, "Cluster restore already in progress."},
	InvalidBackupPolicy:              {http.StatusBadRequest, "Invalid Backup Policy: %v."},
	InvalidPolicyCount:               {http.StatusBadRequest, "Must have exactly one policy."},
	InvalidPolicyID:                  {http.StatusBadRequest, "The policy id %v is invalid."},
	InvalidPolicyItemID:              {http.StatusBadRequest, "The specified policy item id %v does not exist."},
	InvalidFrequencyTypeChange:       {http.StatusBadRequest, "The frequency type of a policy item must not be changed."},
	InvalidRestoreWindow:             {http.StatusBadRequest, "The restore window days should be a positive number."},
	InvalidReferenceHour:             {http.StatusBadRequest, "Snapshot schedule reference hour must be between 0 and 23, inclusive."},
	InvalidReferenceMinute:           {http.StatusBadRequest, "Snapshot schedule reference minute must be between 0 and 59, inclusive."},

	AlertNotFound:              {http.StatusNotFound, "No alert with ID %v exists in group %v."},
	AlertConfigNotFound:        {http.StatusNotFound, "No alert configuration with ID %v exists in group %v."},
	InvalidAlertID:             {http.StatusNotFound, "An invalid alert ID %v was specified."},
	InvalidAlertConfigID:       {http.StatusNotFound, "An invalid alert configuration ID %v was specified."},
	InvalidAlertStatus:         {http.StatusBadRequest, "An invalid alert status %v was specified."},
	InvalidEventTypeForAlert:   {http.StatusBadRequest, "Event type %v not supported for alerts."},
	InvalidOperatorForType:     {http.StatusBadRequest, "Operator %v is not compatible with event type %v."},
	MissingThreshold:           {http.StatusBadRequest, "A threshold must be specified for the specified event type."},
	ThresholdPresent:           {http.StatusBadRequest, "A threshold should not be present for the specified event type."},
	MetricThresholdPresent:     {http.StatusBadRequest, "The metric threshold should only be specific for host metric alerts."},
	UnitsMismatch:              {http.StatusBadRequest, "Threshold units cannot be converted to metric units."},
	MissingNotifications:       {http.StatusBadRequest, "At least one notification must be specified for an alert configuration."},
	NotificationInterval:       {http.StatusBadRequest, "Notifications must have an internal of at least 5 minutes."},
	TooManyGroupNotifications:  {http.StatusBadRequest, "At most one group notification can be specified for an alert configuration."},
	GroupNotificationNeedsWay:  {http.StatusBadRequest, "Email and/or SMS must be enabled for group notifications."},
	UserNotificationNeedsWay:   {http.StatusBadRequest, "Email and/or SMS must be enabled for user notifications."},
	GroupNotificationNeedsRole: {http.StatusBadRequest, "Group notifications cannot specify an empty list of roles."},
	UnsupportedNotification:    {http.StatusBadRequest, "Notification type %v is unsupported."},
	MaxAlertConfigsExceeded:    {http.StatusBadRequest, "Maximum number of alert configurations per group (%v) in %v exceeded while trying to add alert configurations."},
	MaxNotificationsExceeded:   {http.StatusBadRequest, "Maximum number of notification methods per alert configuration (%v) exceeded while trying to add notification methods."},
	AttributeNegative:          {http.StatusBadRequest, "The attribute %v cannot be negative."},

	MaintenanceDayInvalid:        {http.StatusBadRequest, "Invalid Day of Week. Value should be between 1 and 7 (Sunday = 1)."},
	MaintenanceHourInvalid:       {http.StatusBadRequest, "Invalid Hour of Day. Value should be between 0 and 23."},
	MaintenanceAlreadyScheduled:  {http.StatusBadRequest, "The upcoming maintenance has already been scheduled. The maintenance window cannot be adjusted until current maintenance is finished."},
	MaintenanceNotScheduled:      {http.StatusBadRequest, "There is no maintenance scheduled for this project."},
	MaintenanceWindowNotDefined:  {http.StatusBadRequest, "No maintenance window defined for project. This action is only supported for projects with user defined maintenance windows."},
	MaintenanceDeferralsExceeded: {http.StatusBadRequest, "Scheduled maintenance for a group cannot be deferred more than twice."},
	MaintenanceNonCompliant:      {http.StatusBadRequest, "Your requested maintenance time change cannot be satisfied because your project has pending maintenance that must be done by %v."},

	NodeTokenRefused:     {http.StatusUnauthorized, "The agent's token was refused. The time is %v."},
	NodeEnrolmentRefused: {http.StatusForbidden, "The enrolment token is unknown, expired, or was used for another agent."},
	NodeNotFound:         {http.StatusNotFound, "No node with ID %v exists."},
	NodeDisabled:         {http.StatusConflict, "The master key of node %v is not released: its cluster is disabled (%v)."},
	NodeNotEncrypted:     {http.StatusConflict, "Node %v belongs to a cluster without Encryption at Rest."},
	NodeKMSUnreachable:   {http.StatusServiceUnavailable, "The key management provider could not be reached. Nothing was changed; please retry."},
	MasterKeyNotFound:    {http.StatusNotFound, "Node %v has no master key with ID %v."},
	TooManyMasterKeys:    {http.StatusConflict, "Node %v has %v wrapped master keys, which is the most it may have. Resync it."},
	WrappedKeyInvalid:    {http.StatusBadRequest, "The wrapped master key %v cannot be opened with the key that wrapped it."},
	SealedKeyInvalid:     {http.StatusBadRequest, "The sealed master key %v cannot be opened: it was sealed for another recipient, node or use."},
}
