// Package keys is the one place that says where each entity lives in the table.
//
// A partition is an organisation, a group, a cluster, or an identity that the authorizer must find in one
// read. Sort keys are "<KIND>#<rest>", so that a prefix query lists one kind. See
// docs/design.md, section "Data".
//
// Its invariant: no two entities share a key, whatever their ids and names are. Only the last
// part of a key is taken as it is; a part that another one follows is escaped.
package keys

import (
	"strings"
	"time"

	"latchkey/shared/store"
)

// Org is an organisation's record.
func Org(orgID string) store.Key { return store.Key{PK: "ORG#" + orgID, SK: "ORG"} }

// Group is a group's record.
func Group(groupID string) store.Key { return store.Key{PK: "GROUP#" + groupID, SK: "GROUP"} }

// GroupName reserves a group's name within its organisation.
func GroupName(orgID, name string) store.Key {
	return store.Key{PK: "ORG#" + orgID, SK: "GROUPNAME#" + name}
}

// GroupsOf places a group in the index under its organisation, sorted by name.
func GroupsOf(orgID, name string) store.Key {
	return store.Key{PK: "ORG#" + orgID, SK: "GROUP#" + name}
}

// ClosedGroups places a closed group in the index until what it left behind is removed.
func ClosedGroups(groupID string) store.Key {
	return store.Key{PK: "CLOSEDGROUPS", SK: "GROUP#" + groupID}
}

// Preferences is what a tenant tuned in a group: settings, limits, managed slow operations.
func Preferences(groupID string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: "PREFERENCES"}
}

// OrgName reserves an organisation's name within the deployment.
func OrgName(name string) store.Key { return store.Key{PK: "ORGNAME#" + name, SK: "ORGNAME"} }

// Person is a person of an organisation: somebody to e-mail.
func Person(orgID, personID string) store.Key {
	return store.Key{PK: "ORG#" + orgID, SK: PersonPrefix + personID}
}

// Member is a person's membership in a group.
func Member(groupID, personID string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: PersonPrefix + personID}
}

// PersonPrefix selects the people of an organisation, or the members of a group, oldest first.
const PersonPrefix = "USER#"

// MembersOf places a membership in the index under the organisation, sorted by person.
func MembersOf(orgID, personID, groupID string) store.Key {
	return store.Key{PK: "ORG#" + orgID, SK: MemberPrefix + escape(personID) + "#" + groupID}
}

// escape keeps a part that another one follows from reaching into it. The ids that Latchkey
// makes have nothing to escape.
func escape(part string) string { return escaper.Replace(part) }

var escaper = strings.NewReplacer("%", "%25", "#", "%23")

// MemberPrefix selects the memberships of an organisation in the index.
const MemberPrefix = "MEMBER#"

// APIKey is an API key's record, found by its public key: the authorizer's one read.
func APIKey(publicKey string) store.Key { return store.Key{PK: "APIKEY#" + publicKey, SK: "APIKEY"} }

// APIKeyID points from an API key's id to its public key.
func APIKeyID(orgID, id string) store.Key {
	return store.Key{PK: "ORG#" + orgID, SK: "APIKEYID#" + id}
}

// APIKeysOf places an API key in the index under its organisation.
func APIKeysOf(orgID, id string) store.Key { return store.Key{PK: "ORG#" + orgID, SK: "APIKEY#" + id} }

// ServiceAccount is a service account's record, found by its client id.
func ServiceAccount(clientID string) store.Key {
	return store.Key{PK: "SA#" + clientID, SK: "SA"}
}

// ServiceAccountsOf places a service account in the index under its organisation.
func ServiceAccountsOf(orgID, clientID string) store.Key {
	return store.Key{PK: "ORG#" + orgID, SK: "SA#" + clientID}
}

// ServiceAccountID lists a service account under its organisation.
func ServiceAccountID(orgID, clientID string) store.Key {
	return store.Key{PK: "ORG#" + orgID, SK: ServiceAccountPrefix + clientID}
}

// APIKeyPrefix and ServiceAccountPrefix select what an organisation's partition lists.
const (
	APIKeyPrefix         = "APIKEYID#"
	ServiceAccountPrefix = "SAID#"
)

// Owners is the record of the identities that own an organisation.
func Owners(orgID string) store.Key { return store.Key{PK: "ORG#" + orgID, SK: "OWNERS"} }

// SigningKeys is the record of the keys that sign nonces and access tokens.
func SigningKeys() store.Key { return store.Key{PK: "SYSTEM", SK: "SIGNINGKEYS"} }

// Encryption is a group's encryption-at-rest configuration.
func Encryption(groupID string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: "ENCRYPTION"}
}

// Sweep places encryption settings in the index under the slot in which their keys are checked.
func Sweep(slot, groupID string) store.Key {
	return store.Key{PK: "SWEEP#" + slot, SK: "GROUP#" + groupID}
}

// SweepProgress is the record of how far the checks have come.
func SweepProgress() store.Key { return store.Key{PK: "SWEEP", SK: "PROGRESS"} }

// Role is one access role (cloud provider access) of a group.
func Role(groupID, roleID string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: RolePrefix + roleID}
}

// AzureDirectory is the record of which organisation uses a directory of Azure.
func AzureDirectory(tenantID string) store.Key {
	return store.Key{PK: "AZURE#" + tenantID, SK: "CLAIM"}
}

// RolePrefix selects a group's access roles.
const RolePrefix = "ROLE#"

// Cluster is a cluster's record. Its partition holds its nodes too, so that a busy cluster
// never slows its group.
func Cluster(clusterID string) store.Key {
	return store.Key{PK: "CLUSTER#" + clusterID, SK: "CLUSTER"}
}

// Node is one node of a cluster.
func Node(clusterID, nodeID string) store.Key {
	return store.Key{PK: "CLUSTER#" + clusterID, SK: NodePrefix + nodeID}
}

// EnrolToken points from the hash of a one-time token to the node that it is for.
func EnrolToken(hash string) store.Key { return store.Key{PK: "ENROL#" + hash, SK: "ENROL"} }

// RecipientKeys is the record of the keys that nodes seal their master keys to.
func RecipientKeys() store.Key { return store.Key{PK: "RECIPIENTKEYS", SK: "RECIPIENTKEYS"} }

// NodePrefix selects a cluster's nodes.
const NodePrefix = "NODE#"

// WaitingNode places a node in the index while no agent has enrolled for it.
func WaitingNode(clusterID, nodeID string) store.Key {
	return store.Key{PK: "AGENTS#WAITING", SK: WaitingPrefix + escape(clusterID) + "#" + nodeID}
}

// WaitingPrefix selects the nodes without an agent.
const WaitingPrefix = "WAITING#"

// ClusterName points from a cluster's name to its id. There is no such cluster without it.
func ClusterName(groupID, name string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: ClusterNamePrefix + name}
}

// ClusterNamePrefix selects a group's clusters, sorted by name.
const ClusterNamePrefix = "CLUSTERNAME#"

// ClustersOf places a cluster in the index under its organisation, sorted by group and name.
func ClustersOf(orgID, groupID, name string) store.Key {
	return store.Key{PK: "ORG#" + orgID, SK: ClusterPrefix + escape(groupID) + "#" + name}
}

// ClusterPrefix selects the clusters of an organisation in the index.
const ClusterPrefix = "CLUSTER#"

// PlanInProgress places a cluster's name in the index while work on its nodes is in progress.
func PlanInProgress(clusterID string) store.Key {
	return store.Key{PK: "PLANS", SK: PlanPrefix + clusterID}
}

// PlanPrefix selects the clusters whose nodes are being worked on.
const PlanPrefix = "PLAN#"

// EncryptionUse is the record of the clusters that a provider's key encrypts.
func EncryptionUse(groupID, provider string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: "EARUSE#" + provider}
}

// Changeover is where the last change of a group's key at a provider is kept.
func Changeover(groupID, provider string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: "CHANGEOVER#" + provider}
}

// ChangeoverInProgress places a change of a key that is not finished in the index.
func ChangeoverInProgress(groupID, provider string) store.Key {
	return store.Key{PK: "CHANGEOVERS", SK: ChangeoverPrefix + escape(groupID) + "#" + provider}
}

// ChangeoverPrefix selects all changes of keys that are not finished.
const ChangeoverPrefix = "CHANGING#"

// PrivateEndpoints is the record of a group's private endpoints at a provider.
func PrivateEndpoints(groupID, provider string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: PrivateEndpointsPrefix + provider}
}

// PrivateEndpointsPrefix selects the records of a group's private endpoints at all providers.
const PrivateEndpointsPrefix = "ENDPOINTS#"

// WatchedEndpoints places a record of private endpoints in the index while it holds any.
func WatchedEndpoints(groupID, provider string) store.Key {
	return store.Key{PK: "ENDPOINTS", SK: WatchedEndpointsPrefix + escape(groupID) + "#" + provider}
}

// WatchedEndpointsPrefix selects all records with private endpoints.
const WatchedEndpointsPrefix = "WATCHED#"

// WrappedKey is the ledger's entry of one copy of a master key: of a node, or of a node as a
// snapshot kept it (snapshotID "" is the node's own). digest tells the customer keys that
// wrapped the copies of one master key apart.
func WrappedKey(clusterID, nodeID, keyID, snapshotID, digest string) store.Key {
	return store.Key{PK: "CLUSTER#" + clusterID, SK: WrappedKeyPrefix(nodeID) + escape(keyID) + "#" + escape(snapshotID) + "#" + digest}
}

// WrappedKeyPrefix selects the copies of a node's master keys.
func WrappedKeyPrefix(nodeID string) string { return WrappedKeysPrefix + escape(nodeID) + "#" }

// WrappedKeysPrefix selects the copies of the master keys of all nodes of a cluster.
const WrappedKeysPrefix = "KEY#"

// Snapshot is one snapshot of a cluster.
func Snapshot(clusterID, snapshotID string) store.Key {
	return store.Key{PK: "CLUSTER#" + clusterID, SK: SnapshotPrefix + snapshotID}
}

// SnapshotPrefix selects a cluster's snapshots, oldest first.
const SnapshotPrefix = "SNAPSHOT#"

// BackupPolicy is the record of when a cluster's snapshots are taken.
func BackupPolicy(clusterID string) store.Key {
	return store.Key{PK: "CLUSTER#" + clusterID, SK: "BACKUPPOLICY"}
}

// BackupDue is the record of when a cluster's backups need attention next.
func BackupDue(clusterID string) store.Key {
	return store.Key{PK: "CLUSTER#" + clusterID, SK: "BACKUPDUE"}
}

// BackupsDue places a cluster in the index under one of the slots of backups, sorted by when they
// need attention.
func BackupsDue(slot string, at time.Time, clusterID string) store.Key {
	return store.Key{PK: "BACKUPSDUE#" + slot, SK: EventTime(at) + "#" + clusterID}
}

// RestoreJob is one restore of a snapshot of a cluster, wherever to.
func RestoreJob(clusterID, jobID string) store.Key {
	return store.Key{PK: "CLUSTER#" + clusterID, SK: RestoreJobPrefix + jobID}
}

// RestoreJobPrefix selects the restores of a cluster's snapshots, oldest first.
const RestoreJobPrefix = "RESTOREJOB#"

// Restoring is the record of the restore whose target a cluster is.
func Restoring(clusterID string) store.Key {
	return store.Key{PK: "CLUSTER#" + clusterID, SK: "RESTORING"}
}

// RetainedBackups points from the name that a cluster had to the cluster, while snapshots of it
// are kept.
func RetainedBackups(groupID, name, clusterID string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: RetainedPrefix(name) + clusterID}
}

// RetainedPrefix selects the clusters that had a name and of which snapshots are kept.
func RetainedPrefix(name string) string { return RetainedBackupsPrefix + escape(name) + "#" }

// RetainedBackupsPrefix selects all clusters of a group that are gone and of which snapshots are kept.
// Their ids follow the last "#".
const RetainedBackupsPrefix = "RETAINED#"

// NeededBy places an entry of the ledger in the index under the customer key that wrapped it,
// sorted by that key's version.
func NeededBy(groupID, digest, version, entry string) store.Key {
	return store.Key{PK: "CMK#" + escape(groupID) + "#" + digest, SK: "VERSION#" + escape(version) + "#" + entry}
}

// AlertRegister is the record of how many alert configurations a group has.
func AlertRegister(groupID string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: "ALERTING"}
}

// AlertConfig is one alert configuration of a group.
func AlertConfig(groupID, id string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: AlertConfigPrefix + id}
}

// AlertConfigPrefix selects a group's alert configurations, oldest first.
const AlertConfigPrefix = "ALERTCONFIG#"

// Alert is one alert of a group.
func Alert(groupID, id string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: AlertPrefix + id}
}

// AlertPrefix selects a group's alerts, oldest first.
const AlertPrefix = "ALERT#"

// AlertCondition points from an alert configuration and the digest of what it is about to the
// newest alert.
func AlertCondition(groupID, configID, digest string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: AlertConditionPrefix(configID) + digest}
}

// AlertConditionPrefix selects the conditions of one alert configuration.
func AlertConditionPrefix(configID string) string {
	return AlertConditionsPrefix + escape(configID) + "#"
}

// AlertConditionsPrefix selects the conditions of all alert configurations of a group.
const AlertConditionsPrefix = "ALERTCONDITION#"

// AlertNotice is one notification that is to be delivered: of an alert, along a thread (a
// target of its configuration), at a stage.
func AlertNotice(groupID, alertID, thread, stage string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: AlertNoticePrefix + escape(alertID) + "#" + escape(thread) + "#" + stage}
}

// AlertNoticePrefix selects the notifications of a group.
const AlertNoticePrefix = "NOTICE#"

// Mail is an e-mail that is to be sent to people of a group. kind and id are its one name.
func Mail(groupID, kind, id string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: MailPrefix + escape(kind) + "#" + id}
}

// MailPrefix selects the e-mails of a group.
const MailPrefix = "MAIL#"

// Delivery is the record of how far the delivery of a notification or an e-mail has come. entry is
// the sort key of what is delivered.
func Delivery(groupID, entry string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: DeliveryPrefix + entry}
}

// DeliveryPrefix selects the deliveries of a group.
const DeliveryPrefix = "DELIVERY#"

// DeliveryDue places a delivery that is not finished in the index under the time at which it is
// attempted next.
func DeliveryDue(at time.Time, groupID, entry string) store.Key {
	return store.Key{PK: "DELIVERIES#DUE", SK: AlertDuePrefix + EventTime(at) + "#" + escape(groupID) + "#" + entry}
}

// DeadLetter places a delivery that was given up in the index under the time at which it was.
func DeadLetter(at time.Time, groupID, entry string) store.Key {
	return store.Key{PK: "DELIVERIES#DEAD", SK: DeadLetterPrefix + EventTime(at) + "#" + escape(groupID) + "#" + entry}
}

// DeadLetterPrefix selects the deliveries that were given up, oldest first.
const DeadLetterPrefix = "DEAD#"

// AlertWatch is the record of the dates of a provider's key: its age, and what ends when.
func AlertWatch(groupID, provider string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: AlertWatchPrefix + provider}
}

// AlertWatchPrefix selects the keys of a group whose dates are watched.
const AlertWatchPrefix = "WATCH#"

// AlertDue places an alert or a watch in the index under the time at which it needs attention.
func AlertDue(at time.Time, groupID, entry string) store.Key {
	return store.Key{PK: "ALERTS#DUE", SK: AlertDuePrefix + EventTime(at) + "#" + escape(groupID) + "#" + entry}
}

// AlertDueUntil bounds a query for what needs attention at an instant or before it.
func AlertDueUntil(at time.Time) string { return AlertDuePrefix + EventTime(at) + "$" }

// AlertDuePrefix selects what needs attention, the most urgent first.
const AlertDuePrefix = "DUE#"

// Maintenance is a group's maintenance window and the maintenance that is scheduled in it.
func Maintenance(groupID string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: "MAINTENANCE"}
}

// MaintenanceDue places a scheduled maintenance in the index under the time of its next step.
func MaintenanceDue(at time.Time, groupID string) store.Key {
	return store.Key{PK: "MAINTENANCE#DUE", SK: AlertDuePrefix + EventTime(at) + "#" + groupID}
}

// MasterKeys is the record of the rotations of a group's master keys.
func MasterKeys(groupID string) store.Key {
	return store.Key{PK: "GROUP#" + groupID, SK: "MASTERKEYS"}
}

// MasterKeysDue places the master keys of a group in the index under the time at which they need attention.
func MasterKeysDue(at time.Time, groupID string) store.Key {
	return store.Key{PK: "MASTERKEYS#DUE", SK: AlertDuePrefix + EventTime(at) + "#" + groupID}
}

// Event is one event of an activity feed. scope is GroupScope or OrgScope of an id. Feeds have
// partitions of their own, so that a busy feed never slows a group.
func Event(scope string, at time.Time, id string) store.Key {
	return store.Key{PK: EventPartition(scope), SK: EventTime(at) + "#" + id}
}

// EventPartition is the partition that holds a scope's events.
func EventPartition(scope string) string { return "EVENTS#" + scope }

// GroupScope is the feed of a group.
func GroupScope(groupID string) string { return "GROUP#" + groupID }

// OrgScope is the feed of an organisation.
func OrgScope(orgID string) string { return "ORG#" + orgID }

// EventPrefix selects the events of a partition.
const EventPrefix = "T#"

// EventTime is the sort key of an instant in a feed, to the microsecond. Instants outside the
// years 0 to 9999, which clients may ask for, count as the first and the last of them: other
// years have more digits and would sort anywhere.
func EventTime(at time.Time) string {
	at = at.UTC()
	switch year := at.Year(); {
	case year < 0:
		at = time.Date(0, time.January, 1, 0, 0, 0, 0, time.UTC)
	case year > 9999:
		at = time.Date(9999, time.December, 31, 23, 59, 59, 999999000, time.UTC)
	}
	return EventPrefix + at.Format("2006-01-02T15:04:05.000000Z")
}
