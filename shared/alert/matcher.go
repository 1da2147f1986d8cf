package alert

import (
	"net"
	"regexp"
	"slices"
	"strings"

	"latchkey/shared/atlas"
)

// Matcher narrows a configuration to objects with a certain name.
type Matcher struct {
	Field    string `json:"fieldName"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
}

// Bounds of matchers: what people write is far below, and a pattern is run against names only.
const (
	maxMatchers     = 25
	maxMatcherValue = 1000
)

// The names of objects that matchers can ask for.
const (
	fieldCluster     = "CLUSTER_NAME"
	fieldReplicaSet  = "REPLICA_SET_NAME"
	fieldHost        = "HOSTNAME"
	fieldPort        = "PORT"
	fieldHostAndPort = "HOSTNAME_AND_PORT"
)

// MatcherFields lists the names of fields that matchers may have, in the order of the real
// service (CONTRACT 5.3).
func MatcherFields() []string {
	return []string{
		"ATLAS_NODE_TYPE", fieldCluster, fieldHost, fieldPort, fieldHostAndPort, "APPLICATION_ID", fieldReplicaSet,
		"TYPE_NAME", "SHARD_NAME",
	}
}

// field is what the facts say of a field; ok is false if it does not apply to them.
func (f Facts) field(name string) (value string, ok bool) {
	switch name {
	case fieldCluster:
		value = f.ClusterName
	case fieldReplicaSet:
		value = f.ReplicaSetName
	case fieldHostAndPort:
		value = f.HostnameAndPort
	case fieldHost:
		value, _, _ = net.SplitHostPort(f.HostnameAndPort)
	case fieldPort:
		_, value, _ = net.SplitHostPort(f.HostnameAndPort)
	}
	return value, value != ""
}

// matchAll reports whether every matcher that applies to the facts accepts them. A key belongs to
// the project and to no cluster, so a matcher of clusters does not keep its alerts away.
func matchAll(matchers []Matcher, f Facts) bool {
	for _, m := range matchers {
		if value, ok := f.field(m.Field); ok && !m.accepts(value) {
			return false
		}
	}
	return true
}

// operators are the ways to compare (CONTRACT 5.3).
func operators() []string {
	return []string{"EQUALS", "CONTAINS", "STARTS_WITH", "ENDS_WITH", "NOT_EQUALS", "NOT_CONTAINS", "REGEX"}
}

func (m Matcher) accepts(value string) bool {
	switch m.Operator {
	case "EQUALS":
		return value == m.Value
	case "NOT_EQUALS":
		return value != m.Value
	case "CONTAINS":
		return strings.Contains(value, m.Value)
	case "NOT_CONTAINS":
		return !strings.Contains(value, m.Value)
	case "STARTS_WITH":
		return strings.HasPrefix(value, m.Value)
	case "ENDS_WITH":
		return strings.HasSuffix(value, m.Value)
	default: // REGEX: the whole value must match; linear in its length, whatever the pattern
		pattern, err := regexp.Compile(`\A(?:` + m.Value + `)\z`)
		return err == nil && pattern.MatchString(value)
	}
}

func (m Matcher) validate() error {
	switch {
	case m.Field == "":
		return atlas.Fail(atlas.MissingAttribute, "matchers.fieldName")
	case m.Operator == "":
		return atlas.Fail(atlas.MissingAttribute, "matchers.operator")
	case m.Value == "":
		return atlas.Fail(atlas.MissingAttribute, "matchers.value")
	case !slices.Contains(MatcherFields(), m.Field):
		return atlas.Fail(atlas.InvalidEnumValue, m.Field)
	case !slices.Contains(operators(), m.Operator):
		return atlas.Fail(atlas.InvalidEnumValue, m.Operator)
	case len(m.Value) > maxMatcherValue:
		return atlas.Fail(atlas.InvalidAttribute, "matchers.value").Hinting("It may have at most %d bytes.", maxMatcherValue)
	}
	if m.Operator == "REGEX" {
		if _, err := regexp.Compile(m.Value); err != nil { // by itself: it must not reach out of its brackets
			return atlas.Fail(atlas.InvalidAttribute, "matchers.value").Hinting("It must be a regular expression in RE2 syntax.").Because(err)
		}
	}
	return nil
}
