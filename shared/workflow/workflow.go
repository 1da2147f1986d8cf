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
	"strings"
	"sync"
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
	// Subject is what within the group it is about: a provider ("AWS"), the id of a cluster or of
	// an endpoint.
	Subject string
	// Version tells the executions about a subject apart, most significant number first: the
	// revision of the settings that asked for it, then whatever makes it another attempt.
	Version []int64
	// Input is encoded as JSON. It holds ids, never secrets: anybody who may read the history reads it.
	Input any
}

// maxName is Step Functions' limit for the name of an execution.
const maxName = 80

var (
	groupPattern   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{24}$`) })
	subjectPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9-]+$`) })
)

// Name is <kind>-<groupId>-<subject>-<version>, the numbers of a version being joined by
// underscores, which nothing else has. A name that would be too long is shortened and made
// distinct by its digest. Different executions have different names.
func (x Execution) Name() (string, error) {
	switch {
	case !slices.Contains(Kinds(), x.Kind):
		return "", fmt.Errorf("workflow: there is no state machine %q", x.Kind)
	case !groupPattern().MatchString(x.GroupID):
		return "", fmt.Errorf("workflow: %q is no group id", x.GroupID)
	case !subjectPattern().MatchString(x.Subject):
		return "", fmt.Errorf("workflow: %q cannot be in the name of an execution", x.Subject)
	case len(x.Version) == 0:
		return "", fmt.Errorf("workflow: an execution of %s has no version", x.Kind)
	}
	numbers := make([]string, len(x.Version))
	for i, n := range x.Version {
		if n < 0 {
			return "", fmt.Errorf("workflow: the version %d is negative", x.Version)
		}
		numbers[i] = strconv.FormatInt(n, 10)
	}
	return shortened(string(x.Kind) + "-" + x.GroupID + "-" + x.Subject + "-" + strings.Join(numbers, "_")), nil
}

// digestLength is how many hexadecimal digits of a digest stand for what was cut off.
const digestLength = 16

// shortened cuts a name that is too long. Only what it cut has two underscores in a row.
func shortened(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	mark := "__" + hex.EncodeToString(sum[:])[:digestLength]
	return name[:maxName-len(mark)] + mark
}
