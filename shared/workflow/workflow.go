// Package workflow names the suite's state machines and their executions. Use cases import it and
// declare what they need to start one; awssfn does it.
//
// Its invariant: an execution's name follows from what it is about, so a repeated start is
// harmless.
package workflow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// Kind is a state machine: the name of its file in statemachines/ without the extension.
type Kind string

// The state machines.
const (
	SwitchRole        Kind = "switch-role"
	RotateKey         Kind = "rotate-key"
	ReconfigureRegion Kind = "reconfigure-region"
	PrivateEndpoint   Kind = "private-endpoint"
	EncryptCluster    Kind = "encrypt-cluster"
	RotateMasterKeys  Kind = "rotate-master-keys"
	EnforceValidity   Kind = "enforce-validity"
)

// Kinds lists every state machine.
func Kinds() []Kind {
	return []Kind{SwitchRole, RotateKey, ReconfigureRegion, PrivateEndpoint, EncryptCluster, RotateMasterKeys, EnforceValidity}
}

// Execution is one run of a workflow for a group.
type Execution struct {
	Kind    Kind
	GroupID string
	// Subject is what within the group it is about: a provider ("AWS"), the name of a cluster, the
	// id of an endpoint.
	Subject string
	// Version is that of the settings that asked for it. A later version is another execution.
	Version int64
	// Input is encoded as JSON. It holds ids, never secrets: anybody who may read the history reads it.
	Input any
}

// maxName is Step Functions' limit for the name of an execution.
const maxName = 80

var (
	groupPattern   = regexp.MustCompile(`^[0-9a-f]{24}$`)
	subjectPattern = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
)

// Name is <kind>-<groupId>-<subject>-<version>. A subject that would make it too long is
// shortened and made distinct by its digest. Different executions have different names.
func (x Execution) Name() (string, error) {
	switch {
	case !slices.Contains(Kinds(), x.Kind):
		return "", fmt.Errorf("workflow: there is no state machine %q", x.Kind)
	case !groupPattern.MatchString(x.GroupID):
		return "", fmt.Errorf("workflow: %q is no group id", x.GroupID)
	case !subjectPattern.MatchString(x.Subject):
		return "", fmt.Errorf("workflow: %q cannot be in the name of an execution", x.Subject)
	case x.Version < 0:
		return "", fmt.Errorf("workflow: the version %d is negative", x.Version)
	}
	prefix := string(x.Kind) + "-" + x.GroupID + "-"
	suffix := "-" + strconv.FormatInt(x.Version, 10)
	subject := shortened(x.Subject, maxName-len(prefix)-len(suffix))
	return prefix + subject + suffix, nil
}

// digestLength is how many hexadecimal digits of a digest stand for a subject: as many as fit
// beside the longest kind and the greatest version.
const digestLength = 14

// shortened cuts a subject. What it returns has an underscore, which subjects do not have, before the digest.
func shortened(subject string, room int) string {
	if len(subject) <= room {
		return subject
	}
	sum := sha256.Sum256([]byte(subject))
	return subject[:room-digestLength-1] + "_" + hex.EncodeToString(sum[:])[:digestLength]
}
