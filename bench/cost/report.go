package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"latchkey/bench/cost/bill"
	"latchkey/bench/cost/measure"
)

// The budgets, in dollars a month.
const (
	groupsBudget = 100.0 // of a million groups
	nodeBudget   = 0.02
)

// report prints what was found.
type report struct {
	w       io.Writer
	seen    seen
	counts  bill.Counts
	prices  bill.Prices
	assumed bill.Assumed
	groups  float64
}

// say prints. Whoever reads no longer needs no error.
func (r report) say(format string, args ...any) {
	fmt.Fprintf(r.w, format, args...) //nolint:errcheck // see above
}

// withHead prints a head before the rows.
func withHead(head string, rows func(row func(format string, args ...any))) func(row func(format string, args ...any)) {
	return func(row func(format string, args ...any)) {
		row("%s", head)
		rows(row)
	}
}

// table prints rows whose cells are separated by tabs.
func (r report) table(title, head string, rows func(row func(format string, args ...any))) {
	r.say("\n%s\n\n", title)
	t := tabwriter.NewWriter(r.w, 0, 0, 2, ' ', 0)
	rows = withHead(head, rows)
	rows(func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }) //nolint:errcheck // Flush tells
	if err := t.Flush(); err != nil {
		r.say("%v\n", err)
	}
}

func (r report) print() {
	r.operations()
	r.background()
	r.say("\nPrices: %s, %s. %s\n", r.prices.Region, r.prices.Date, r.prices.Note)
	r.bill(fmt.Sprintf("%s groups with a healthy key, a month; budget %g dollars per million", count(r.groups), groupsBudget), r.prices.Groups(r.counts, r.assumed, r.groups))
	r.bill(fmt.Sprintf("One steady node, a month; budget %g dollars", nodeBudget), r.prices.Node(r.counts, r.assumed))
	release := r.seen.node.Release
	r.bill("A million releases of master keys", r.prices.Releases(release.ReadUnits, float64(release.Logged), 1e6, r.counts, r.assumed))
	r.tenants()
	r.alternatives()
	r.growth()
}

func (r report) operations() {
	r.table("What a request takes of DynamoDB, beside the least that the data model allows (a read; for a change a write too).",
		"operation\treads\twrites\tRRU\tWRU\tleast\tover", func(row func(string, ...any)) {
			for _, o := range r.seen.operations {
				row("%s\t%d\t%d\t%g\t%g\t%d+%d\t%d", o.Name(), o.Function.Reads, o.Function.Writes(), o.Function.ReadUnits, o.Function.WriteUnits,
					o.LeastReads, o.LeastWrites, o.Over())
			}
		})
}

func (r report) background() {
	c, n := r.seen.checks, r.seen.node
	usage := func(row func(string, ...any), what string, u measure.Usage, per float64) {
		row("%s\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g", what, float64(u.Reads)/per, float64(u.Writes())/per, u.ReadUnits/per, u.WriteUnits/per,
			float64(u.TenantKMS)/per, float64(u.STS)/per, float64(u.Logged)/per)
	}
	r.table("What goes on by itself.", "what\treads\twrites\tRRU\tWRU\ttenant's KMS\tSTS\tbytes logged", func(row func(string, ...any)) {
		groups := float64(c.Groups)
		hour := c.Hour
		hour.ReadUnits -= hour.IndexUnits // which are told of below, without what rounding adds for so few
		usage(row, "authorizer, a request with a token", r.seen.operations[0].Authorizer, 1)
		usage(row, "authorizer, a request with an API key", r.seen.digest, 1)
		usage(row, "a run of the checks with nobody to check", c.IdleRun, 1)
		usage(row, "a group's hour: 4 checks, one of them thorough", hour, groups)
		usage(row, "a run of the reminders with nobody to remind", c.IdleReminder, 1)
		usage(row, fmt.Sprintf("a group's %d days, besides", c.Days), c.Weeks, groups)
		usage(row, "a node's enrolment", n.Enrolment, 1)
		usage(row, "a master key is wrapped", n.Wrap, 1)
		usage(row, "a master key is released", n.Release, 1)
		usage(row, "a heartbeat of a steady node", n.Heartbeat, 1)
		usage(row, "an hour of a steady node", n.Hour, 1)
		usage(row, "an hour of an instance of the nodes' function, besides", n.Instance, 1)
	})
	r.say("\nA check reads %d bytes of the index besides, %.3g RRU. A new group with a key has %d bytes in the table and its index.\n",
		c.SettingsBytes, float64(c.SettingsBytes)/(8<<10), c.GroupBytes)
	r.say("Computing, on a core of this machine: a check %s, a heartbeat %s.\n", c.CheckCPU, n.CPU)
}

func (r report) bill(title string, b bill.Bill) {
	r.table(title, "item\tquantity\tunit\tdollars", func(row func(string, ...any)) {
		for _, l := range b {
			row("%s\t%s\t%s\t%s", l.Name, count(l.Quantity), l.Unit, dollars(l.USD))
		}
		row("total\t\t\t%s", dollars(b.Total()))
	})
}

// tenants is what tenants pay their own cloud, which is AWS here.
func (r report) tenants() {
	requests := r.groups * r.counts.HourTenantKMS * bill.HoursPerMonth
	r.say("\nTenants pay their own clouds: %s requests of AWS KMS for all groups, %s dollars, %s each.\n", count(requests),
		dollars(r.prices.Tenants(requests).Total()), dollars(r.prices.Tenants(requests).Total()/r.groups))
}

func (r report) alternatives() {
	own := r.prices.Groups(r.counts, r.assumed, r.groups).Total()
	all := r.prices.Alternatives(r.counts, r.assumed, r.groups)
	r.table("The same checks in other ways: what each adds.", "way\tdollars\ttimes all of the above", func(row func(string, ...any)) {
		for _, way := range slices.Sorted(maps.Keys(all)) {
			row("%s\t%s\t%.3g", way, dollars(all[way].Total()), all[way].Total()/own)
		}
		row("two NAT gateways for keys in networks, and 3 KB a check\t%s\t%.3g", dollars(r.network().Total()), r.network().Total()/own)
	})
}

func (r report) network() bill.Bill {
	const gateways, kilobytes = 2, 3.0
	return r.prices.Network(gateways, r.groups*r.counts.ChecksPerHour*bill.HoursPerMonth*kilobytes/(1<<20))
}

// sizes are the numbers of groups of which growth is told.
func sizes() []float64 { return []float64{1e3, 1e5, 1e6, 1e7} }

func (r report) growth() {
	quotas := bill.Quotas(r.counts, r.assumed)
	slices.SortStableFunc(quotas, func(a, b bill.Quota) int {
		switch x, y := a.Breaks(), b.Breaks(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	r.table("Growth: how much of each quota is used, the first to break first.",
		"quota\tlimit\tunit\t1,000 groups\t100,000\t1,000,000\t10,000,000\tbreaks at\tthen", func(row func(string, ...any)) {
			for _, q := range quotas {
				var cells []string
				for _, n := range sizes() {
					cells = append(cells, fmt.Sprintf("%.3g %%", 100*q.Demand(n)/q.Limit))
				}
				row("%s\t%s\t%s\t%s\t%s\t%s", q.Name, count(q.Limit), q.Unit, strings.Join(cells, "\t"), count(q.Breaks()), q.Then)
			}
		})
}

// broken are the budgets that do not hold.
func (r report) broken() (broken []error) {
	if got := r.prices.Groups(r.counts, r.assumed, 1e6).Total(); got > groupsBudget {
		broken = append(broken, fmt.Errorf("a million groups cost %s dollars a month, more than %g", dollars(got), groupsBudget))
	}
	if got := r.prices.Node(r.counts, r.assumed).Total(); got > nodeBudget {
		broken = append(broken, fmt.Errorf("a node costs %s dollars a month, more than %g", dollars(got), nodeBudget))
	}
	if r.counts.HourWrites > 0 {
		broken = append(broken, fmt.Errorf("an hour of healthy checks writes %g units", r.counts.HourWrites))
	}
	for _, o := range r.seen.operations {
		if limit, ok := exact(o); ok && (o.Function.Reads > limit[0] || o.Function.Writes() > limit[1]) {
			broken = append(broken, fmt.Errorf("%s makes %d reads and %d writes, more than %v", o.Name(), o.Function.Reads, o.Function.Writes(), limit))
		}
	}
	return broken
}

// exact are the reads and writes that an operation may make and no more.
func exact(o measure.Operation) (limit [2]int, ok bool) {
	const settings = "/api/atlas/v2/groups/{group}/encryptionAtRest"
	switch {
	case o.Path == settings && o.Method == http.MethodGet:
		return [2]int{1, 0}, true
	case o.Path == settings && o.Method == http.MethodPatch && o.What == measure.NoKeyChanged:
		return [2]int{1, 1}, true
	}
	return limit, false
}

// count is a number for people.
func count(n float64) string {
	switch {
	case math.IsInf(n, 1):
		return "never"
	case n >= 1e9:
		return fmt.Sprintf("%.4g G", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.4g M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.4g k", n/1e3)
	}
	return fmt.Sprintf("%.4g", n)
}

func dollars(usd float64) string {
	if usd != 0 && math.Abs(usd) < 1 {
		return fmt.Sprintf("%.3g", usd)
	}
	return fmt.Sprintf("%.2f", usd)
}
