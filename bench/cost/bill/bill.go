package bill

import (
	"math"
	"time"
)

// A month of AWS's price lists.
const (
	HoursPerMonth  = 730.0
	daysPerMonth   = HoursPerMonth / 24
	secondsPerHour = 3600.0
	gigabyte       = 1 << 30
	indexRead      = 8 << 10 // bytes of a query of the index that a read request unit has, eventually consistent
	fullCore       = 1769.0  // MB of memory with which a function has one core
)

// Counts are what was counted, of one group and of one node unless said otherwise.
type Counts struct {
	ChecksPerHour float64
	// SettingsBytes are read by each check, from the index, with those of many others. GroupBytes are stored.
	SettingsBytes, GroupBytes float64
	// HourReads are the read request units of the table that an hour of checks takes besides, DayReads and DayWrites
	// the units that a day of reminders takes. HourWrites should be nothing.
	HourReads, HourWrites, DayReads, DayWrites float64
	HourTenantKMS                              float64       // requests for the tenant's key
	CheckCPU                                   time.Duration // of one core, with a check's share of what is thorough

	// RunReads, RunWrites and RunLogged are what a run of the checks takes with nobody to check, ReminderReads and
	// ReminderLogged a run of the reminders.
	RunReads, RunWrites, RunLogged, ReminderReads, ReminderLogged float64

	HeartbeatsPerHour, NodeHourReads, NodeHourWrites, NodeHourLogged float64
	AnswerBytes                                                      float64
	HeartbeatCPU                                                     time.Duration

	// Metrics are the custom metrics of which there is a value each hour, each with each value of its dimensions.
	Metrics float64

	// Of the template: memory in MB, how many runs there are, and how many metrics alarms look at.
	ChecksMemory, RemindersMemory, NodesMemory, Alarms, RunsPerMonth float64
}

// Assumed is what is not counted.
type Assumed struct {
	TableWait time.Duration // for an answer of the table, as a function in the same region waits
	KeyWait   time.Duration // for an answer of a tenant's KMS
	RunOver   time.Duration // what a run takes that has nothing to do
	// CheckLanes is how many checks run at once.
	CheckLanes float64
}

// Assumptions are the values that the printed figures stand on.
func Assumptions() Assumed {
	return Assumed{
		TableWait: 4 * time.Millisecond, KeyWait: 50 * time.Millisecond, RunOver: 100 * time.Millisecond,
		CheckLanes: 128,
	}
}

// Groups is what so many groups with a healthy key cost a month, without clusters and without requests of the API,
// and without what their tenants pay their own clouds.
func (p Prices) Groups(c Counts, a Assumed, groups float64) Bill {
	checks := groups * c.ChecksPerHour * HoursPerMonth
	logged := 60 * HoursPerMonth * (c.RunLogged + c.ReminderLogged)
	stored := groups * c.GroupBytes / gigabyte
	return Bill{
		p.line("checks: settings read from the index", DynamoRead, checks*c.SettingsBytes/indexRead),
		p.line("checks: other reads", DynamoRead, groups*c.HourReads*HoursPerMonth),
		p.line("checks: writes", DynamoWrite, groups*c.HourWrites*HoursPerMonth),
		p.line("checks: computing", LambdaGBSecond, c.checksGBSeconds(a, groups)),
		p.line("reminders: reads", DynamoRead, groups*c.DayReads*daysPerMonth),
		p.line("reminders: writes", DynamoWrite, groups*c.DayWrites*daysPerMonth),
		p.line("reminders: computing", LambdaGBSecond, c.remindersGBSeconds(a, groups)),
		p.line("table: storage", DynamoStorage, stored),
		p.line("table: recovery to any second", DynamoRecovery, stored),
		p.line("table: its stream", DynamoStream, groups*c.DayWrites*daysPerMonth),
		p.line("fixed: runs' reads", DynamoRead, 60*HoursPerMonth*(c.RunReads+c.ReminderReads)),
		p.line("fixed: runs' writes", DynamoWrite, 60*HoursPerMonth*c.RunWrites),
		p.line("fixed: schedules", Scheduler, c.RunsPerMonth),
		p.line("fixed: invocations", LambdaRequest, c.RunsPerMonth),
		p.line("fixed: idle runs of other functions", LambdaGBSecond, c.RunsPerMonth*a.RunOver.Seconds()*c.RemindersMemory/1024),
		p.line("fixed: logs", LogIngestion, logged/gigabyte),
		p.line("fixed: logs kept", LogStorage, logged/gigabyte),
		p.line("fixed: metrics", CustomMetric, c.Metrics),
		p.line("fixed: alarms", Alarm, c.Alarms),
		p.line("fixed: the seal's key", KMSKey, 1),
	}
}

// scaled is how long something takes in a function with so much memory.
func scaled(cpu time.Duration, memory float64) float64 {
	return cpu.Seconds() * fullCore / math.Min(memory, fullCore)
}

// runSeconds is how long a run of the checks of a minute takes: as long as it computes, or as it waits for keys.
func (c Counts) runSeconds(a Assumed, groups float64) float64 {
	checks, requests := groups*c.ChecksPerHour/60, groups*c.HourTenantKMS/60
	return a.RunOver.Seconds() + math.Max(checks*scaled(c.CheckCPU, c.ChecksMemory), requests*a.KeyWait.Seconds()/a.CheckLanes)
}

func (c Counts) checksGBSeconds(a Assumed, groups float64) float64 {
	return 60 * HoursPerMonth * c.runSeconds(a, groups) * c.ChecksMemory / 1024
}

// remindersAtOnce is how many reminders are attended to at the same time.
const remindersAtOnce = 16

// remindersGBSeconds counts the waits for each of a reminder's requests.
func (c Counts) remindersGBSeconds(a Assumed, groups float64) float64 {
	waits := (c.DayReads + 1) * a.TableWait.Seconds() / remindersAtOnce
	return groups * daysPerMonth * waits * c.RemindersMemory / 1024
}

// Node is what one node that is steady costs a month.
func (p Prices) Node(c Counts, a Assumed) Bill {
	beats := c.HeartbeatsPerHour * HoursPerMonth
	return Bill{
		p.line("requests", LambdaRequest, beats),
		p.line("computing", LambdaGBSecond, beats*c.heartbeatSeconds(a)*c.NodesMemory/1024),
		p.line("reads", DynamoRead, c.NodeHourReads*HoursPerMonth),
		p.line("writes", DynamoWrite, c.NodeHourWrites*HoursPerMonth),
		p.line("logs", LogIngestion, c.NodeHourLogged*HoursPerMonth/gigabyte),
		p.line("logs kept", LogStorage, c.NodeHourLogged*HoursPerMonth/gigabyte),
		p.line("answers", TransferOut, beats*c.AnswerBytes/gigabyte),
	}
}

// heartbeatSeconds is how long a heartbeat is billed for, by the millisecond.
func (c Counts) heartbeatSeconds(a Assumed) float64 {
	const millisecond = 1e-3
	return math.Ceil((a.TableWait.Seconds()+scaled(c.HeartbeatCPU, c.NodesMemory))/millisecond) * millisecond
}

// Releases is what so many requests for master keys cost.
func (p Prices) Releases(reads, logged, releases float64, c Counts, a Assumed) Bill {
	return Bill{
		p.line("requests", LambdaRequest, releases),
		p.line("computing", LambdaGBSecond, releases*(reads*a.TableWait.Seconds()+a.KeyWait.Seconds())*c.NodesMemory/1024),
		p.line("reads", DynamoRead, releases*reads),
		p.line("logs", LogIngestion, releases*logged/gigabyte),
	}
}

// Alternatives are what others would have done for the same groups instead of checking them in runs: each is what
// comes on top of, or in place of, the runs' computing.
func (p Prices) Alternatives(c Counts, a Assumed, groups float64) map[string]Bill {
	const smallest, chunk, hundredMilliseconds = 128.0 / 1024, 64.0 / 1024, 0.1
	checks := groups * c.ChecksPerHour * HoursPerMonth
	lambda := Bill{
		p.line("requests", LambdaRequest, checks),
		p.line("computing", LambdaGBSecond, checks*(a.KeyWait.Seconds()+scaled(c.CheckCPU, smallest*1024))*smallest),
	}
	kilobytes := math.Ceil(c.SettingsBytes / 1024)
	return map[string]Bill{
		"one Lambda per group": lambda,
		"one Express execution per group": append(Bill{
			p.line("executions", Express, checks),
			p.line("their duration", ExpressGBSecond, checks*hundredMilliseconds*chunk),
		}, lambda...),
		"one scheduler entry per group": append(Bill{p.line("invocations", Scheduler, checks)}, lambda...),
		"a write per check":             {p.line("table and index", DynamoWrite, checks*2*kilobytes)},
		"a read of each item per check": {p.line("strongly consistent", DynamoRead, checks*math.Ceil(c.SettingsBytes/(4<<10)))},
	}
}

// Tenants is what tenants pay their own cloud for requests of their keys.
func (p Prices) Tenants(requests float64) Bill {
	return Bill{p.line("requests", KMSRequest, requests)}
}

// Network is what functions cost besides that use keys from within a VPC.
func (p Prices) Network(gateways, gigabytes float64) Bill {
	return Bill{p.line("NAT gateways", NATHour, gateways*HoursPerMonth), p.line("data through them", NATData, gigabytes)}
}
