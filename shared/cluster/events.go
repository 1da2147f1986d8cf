package cluster

import (
	"latchkey/shared/audit"
)

// Types of events on clusters (CONTRACT 5.4).
const (
	EventCreated          audit.Type = "CLUSTER_CREATED"
	EventReady            audit.Type = "CLUSTER_READY"
	EventUpdateSubmitted  audit.Type = "CLUSTER_UPDATE_SUBMITTED"
	EventUpdateStarted    audit.Type = "CLUSTER_UPDATE_STARTED"
	EventUpdateCompleted  audit.Type = "CLUSTER_UPDATE_COMPLETED"
	EventDeleteSubmitted  audit.Type = "CLUSTER_DELETE_SUBMITTED"
	EventDeleted          audit.Type = "CLUSTER_DELETED"
	EventInstanceDisabled audit.Type = "CLUSTER_INSTANCE_DISABLED"
	EventInstanceEnabled  audit.Type = "CLUSTER_INSTANCE_ENABLED"
	// EventRolledBack tells that an update could not be carried out. It is Latchkey's own.
	EventRolledBack audit.Type = "CLUSTER_UPDATE_ROLLED_BACK"
	// EventArgsSubmitted tells of a change of the processes' arguments.
	EventArgsSubmitted audit.Type = "CLUSTER_PROCESS_ARGS_UPDATE_SUBMITTED"
)

// event is an event of a cluster.
func (s *Service) event(t audit.Type, c Cluster, by audit.Actor) audit.Event {
	e := audit.New(s.Now(), t, by, c.OrgID, c.GroupID).With("clusterId", c.ID)
	e.ClusterName = c.Name
	return e
}
