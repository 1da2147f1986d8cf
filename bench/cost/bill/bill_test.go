package bill_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"latchkey/bench/cost/bill"
)

// prices is a list in which everything costs a dollar.
func prices(t *testing.T) bill.Prices {
	t.Helper()
	var all []string
	for _, id := range bill.IDs() {
		all = append(all, `{"id":"`+string(id)+`","usd":1,"per":1,"unit":"units","page":"page"}`)
	}
	p, err := bill.Parse([]byte(`{"region":"r","date":"2026-01-01","prices":[` + strings.Join(all, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func amounts(b bill.Bill) map[string]float64 {
	all := map[string]float64{}
	for _, l := range b {
		all[l.Name] = l.USD
	}
	return all
}

// The example of a node is small enough to be computed by hand: 60 heartbeats an hour are 43,800 a month.
func TestANodeCostsWhatWasComputedByHand(t *testing.T) {
	c := bill.Counts{
		HeartbeatsPerHour: 60, NodeHourReads: 64, NodeHourWrites: 4, NodeHourLogged: 1 << 30, AnswerBytes: 1 << 20,
		HeartbeatCPU: time.Millisecond, NodesMemory: 1769.0 / 4,
	}
	got := amounts(prices(t).Node(c, bill.Assumed{TableWait: 4 * time.Millisecond}))
	want := map[string]float64{
		"requests":  43800,
		"computing": 43800 * 0.008 * 1769 / 4 / 1024, // 4 ms of waiting and 1 ms of a core, on a quarter of one
		"reads":     64 * 730, "writes": 4 * 730, "logs": 730, "logs kept": 730,
		"answers": 43800.0 / 1024,
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// So is that of two groups, each checked four times an hour: 5,840 checks a month.
func TestGroupsCostWhatWasComputedByHand(t *testing.T) {
	c := bill.Counts{
		ChecksPerHour: 4, HourTenantKMS: 4, SettingsBytes: 4096, GroupBytes: 1 << 29, HourReads: 0.5, DayReads: 24, DayWrites: 12,
		CheckCPU: time.Second, RunReads: 2, RunWrites: 1, ReminderReads: 1, RunLogged: 1 << 29, ReminderLogged: 1 << 29,
		ChecksMemory: 1769, RemindersMemory: 1024, Alarms: 5, Metrics: 7, RunsPerMonth: 100,
	}
	a := bill.Assumed{KeyWait: time.Second, RunOver: time.Second, CheckLanes: 128}
	b := prices(t).Groups(c, a, 2)
	want := map[string]float64{
		"checks: settings read from the index": 5840.0 / 2,
		"checks: other reads":                  2 * 0.5 * 730,
		"checks: writes":                       0,
		"checks: computing":                    43800 * (1 + 8.0/60) * 1769 / 1024,
		"reminders: reads":                     2 * 730,
		"reminders: writes":                    730,
		"reminders: computing":                 0,
		"table: storage":                       1,
		"table: recovery to any second":        1,
		"table: its stream":                    730,
		"fixed: runs' reads":                   3 * 43800,
		"fixed: runs' writes":                  43800,
		"fixed: schedules":                     100,
		"fixed: invocations":                   100,
		"fixed: idle runs of other functions":  100,
		"fixed: logs":                          43800,
		"fixed: logs kept":                     43800,
		"fixed: metrics":                       7,
		"fixed: alarms":                        5,
		"fixed: the seal's key":                1,
	}
	if diff := cmp.Diff(want, amounts(b), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var sum float64
	for _, usd := range want {
		sum += usd
	}
	if math.Abs(b.Total()-sum) > 1e-6 {
		t.Errorf("the total is %g, not %g", b.Total(), sum)
	}
}

func TestTheListOfPricesIsComplete(t *testing.T) {
	p, err := bill.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Prices) != len(bill.IDs()) {
		t.Errorf("there are %d prices and %d are needed", len(p.Prices), len(bill.IDs()))
	}
	if p.Region != "us-east-1" {
		t.Errorf("they are of %s", p.Region)
	}
}

func TestAListThatSaysTooLittleIsRefused(t *testing.T) {
	const one = `{"id":"lambda-request","usd":1,"per":1,"unit":"requests","page":"page"}`
	for what, text := range map[string]string{
		"no JSON":    `{`,
		"no date":    `{"region":"r","prices":[` + one + `]}`,
		"no region":  `{"date":"2026-01-01","prices":[` + one + `]}`,
		"no page":    `{"region":"r","date":"2026-01-01","prices":[{"id":"lambda-request","usd":1,"per":1,"unit":"requests"}]}`,
		"no amount":  `{"region":"r","date":"2026-01-01","prices":[{"id":"lambda-request","usd":1,"unit":"requests","page":"page"}]}`,
		"twice":      `{"region":"r","date":"2026-01-01","prices":[` + one + `,` + one + `]}`,
		"incomplete": `{"region":"r","date":"2026-01-01","prices":[` + one + `]}`,
	} {
		if _, err := bill.Parse([]byte(text)); err == nil {
			t.Errorf("%s: it is taken", what)
		}
	}
}

// A quota breaks at the first number of groups that asks for more than it allows.
func TestQuotasBreakWhereTheDemandExceedsThem(t *testing.T) {
	q := bill.Quota{Limit: 600, Demand: func(groups float64) float64 { return groups / 900 }}
	if at := q.Breaks(); at != 540_001 {
		t.Errorf("it breaks at %g", at)
	}
	q.Demand = func(float64) float64 { return 600 }
	if at := q.Breaks(); !math.IsInf(at, 1) {
		t.Errorf("what never grows breaks at %g", at)
	}
	for _, q := range bill.Quotas(bill.Counts{ChecksPerHour: 4, HourTenantKMS: 9, HeartbeatsPerHour: 60, NodesMemory: 256, ChecksMemory: 1024}, bill.Assumptions()) {
		if q.Name == "" || q.Unit == "" || q.Then == "" || q.Limit <= 0 || q.Demand(1000) > q.Demand(100_000) {
			t.Errorf("a quota says too little, or falls with growth: %+v", q)
		}
	}
}

// Whoever remembers too few sessions asks for one at each check.
func TestSessionsAreForgottenBeyondWhatIsRemembered(t *testing.T) {
	for _, q := range bill.Quotas(bill.Counts{ChecksPerHour: 4, HourTenantKMS: 9, HeartbeatsPerHour: 60, NodesMemory: 256, ChecksMemory: 1024}, bill.Assumptions()) {
		if strings.HasPrefix(q.Name, "STS") {
			if few, many := q.Demand(131072)/131072, q.Demand(131073)/131073; many/few < 3.9 {
				t.Errorf("per group it is %g and %g", few, many)
			}
			return
		}
	}
	t.Error("there is no such quota")
}
