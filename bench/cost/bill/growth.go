package bill

import (
	"math"
)

// Quota is a limit that growth meets.
type Quota struct {
	Name string
	// Limit is the default. Page names where it is told; "" is a limit of the design itself.
	Limit float64
	Unit  string
	Page  string
	// Demand is what so many groups ask of it.
	Demand func(groups float64) float64
	// Then is what happens beyond it.
	Then string
}

// Breaks is the number of groups from which on the quota does not suffice, +Inf if it always does.
func (q Quota) Breaks() float64 {
	const most = 1e12
	if q.Demand(most) <= q.Limit {
		return math.Inf(1)
	}
	low, high := 1.0, most
	for high-low > 1 {
		middle := math.Floor((low + high) / 2)
		if q.Demand(middle) > q.Limit {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// What the design holds.
const (
	hostLanes       = 32.0     // checks at once of one host, as of a region of AWS KMS
	runBudget       = 40.0     // seconds in which a run begins checks
	credentials     = 131072.0 // sessions that an instance remembers
	slots           = 15.0
	nodesPerGroup   = 3.0
	datesPerHour    = 1.0 // requests for the metadata of a key
	partitionReads  = 3000.0
	partitionWrites = 1000.0
)

// Quotas are the limits that the suite meets as it grows, if all groups used the provider in question.
func Quotas(c Counts, a Assumed) []Quota {
	perMinute := c.ChecksPerHour / 60
	sessions := func(groups float64) float64 {
		if groups <= credentials {
			return groups / secondsPerHour
		}
		return groups * c.ChecksPerHour / secondsPerHour // forgotten before they are needed again
	}
	beats := func(groups float64) float64 { return groups * nodesPerGroup * c.HeartbeatsPerHour / secondsPerHour }
	return append([]Quota{
		{
			"Requests of one host in a run (32 lanes, 40 s)", hostLanes * runBudget / a.KeyWait.Seconds(), "requests a minute", "",
			func(n float64) float64 { return n * c.HourTenantKMS / 60 }, "the rest is checked by the next runs: late, counted, alarmed; other hosts are not held up",
		},
		{
			"Requests of one provider in a run (128 lanes, 40 s)", a.CheckLanes * runBudget / a.KeyWait.Seconds(), "requests a minute", "",
			func(n float64) float64 { return n * c.HourTenantKMS / 60 }, "the same",
		},
		{
			"Computing of a run (one instance, 40 s)", runBudget, "seconds", "",
			func(n float64) float64 { return n * perMinute * scaled(c.CheckCPU, c.ChecksMemory) }, "more MemorySize; the same, beyond 1,769 MB",
		},
		{
			"Run time of an invocation (Timeout 70 s, Lambda 900 s)", 900, "seconds", "Lambda quotas",
			func(float64) float64 { return 70 }, "never: a run stops by itself and the next goes on",
		},
		{
			"STS AssumeRole, our account and region", 600, "a second", "IAM and AWS STS quotas", sessions,
			"THROTTLED, which stops no node; alarmed. Raise the quota, and the number of sessions that are remembered (131,072)",
		},
		{
			"Lambda concurrency, nodes' heartbeats", 1000, "at once", "Lambda quotas",
			func(n float64) float64 { return beats(n) * c.heartbeatSeconds(a) }, "429; agents go on and call later. Raise the quota",
		},
		{
			"Function URL (10 times the concurrency)", 10000, "requests a second", "Lambda quotas", beats, "429; agents go on and call later. Raise the quota",
		},
	}, tableQuotas(c)...)
}

func tableQuotas(c Counts) []Quota {
	perMinute := c.ChecksPerHour / 60
	return []Quota{
		{
			"DynamoDB partition, a slot of checks (3,000 RRU/s, 40 s)", partitionReads * runBudget, "RRU in a run", "DynamoDB quotas",
			func(n float64) float64 { return n * perMinute * c.SettingsBytes / indexRead }, "the query is throttled and the run goes on later",
		},
		{
			"DynamoDB partition, URGENT while all keys are unreachable", partitionReads * runBudget, "RRU in a run", "DynamoDB quotas",
			func(n float64) float64 { return n * c.SettingsBytes / indexRead }, "the same; urgent turns begin anew where they were cut",
		},
		{
			"DynamoDB partition, ALERTS#DUE (1,000 WRU/s)", partitionWrites, "WRU a second", "DynamoDB quotas",
			func(n float64) float64 { return n * c.DayWrites / (24 * secondsPerHour) }, "reminders come late; sharded slots, as backups have them",
		},
		{
			"Step Functions StartExecution (300/s), all keys given back in a minute", 300 * 60, "executions", "Step Functions quotas",
			func(n float64) float64 { return n }, "the next runs start what was refused, under the same names",
		},
		{
			"Tenant's AWS KMS DescribeKey, all groups in one account", 2000, "a second", "AWS KMS request quotas",
			func(n float64) float64 { return n * datesPerHour / secondsPerHour }, "the tenant's quota: THROTTLED, which stops no node",
		},
		{
			"Tenant's AWS KMS cryptographic requests, one account", 100000, "a second", "AWS KMS request quotas",
			func(n float64) float64 { return n * (c.HourTenantKMS - datesPerHour) / secondsPerHour }, "the same",
		},
		{
			"Tenant's vault at Azure (4,000 in 10 s), all groups in one vault", 400, "a second", "Azure Key Vault service limits",
			func(n float64) float64 { return n * c.HourTenantKMS / secondsPerHour }, "the same",
		},
		{
			"Google read requests, our project", 600, "a minute", "Cloud KMS quotas (300 in the newest copy)",
			func(n float64) float64 { return n * datesPerHour / 60 }, "dates and versions come late; verdicts do not need them. Raise the quota",
		},
		{
			"Google cryptographic requests, our project", 60000, "a minute", "Cloud KMS quotas",
			func(n float64) float64 { return n * (c.HourTenantKMS - datesPerHour) / 60 }, "THROTTLED, which stops no node. Raise the quota",
		},
		{
			"EventBridge schedules", 1e6, "schedules", "EventBridge Scheduler quotas", func(float64) float64 { return 11 }, "never: their number does not grow",
		},
	}
}
