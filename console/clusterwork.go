package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/shared/atlas"
)

// noProvider is what stands for a provider where no customer key encrypts.
const noProvider = "NONE"

// What work waits for.
const (
	waitsForKey   = "KEY"
	waitsForNodes = "NODES"
)

// clusterTask is a piece of work on a cluster, in words.
type clusterTask struct {
	Title string
	Text  string
	Done  int
	Of    int    // 0: it has no steps to count
	Waits string // what for, "" if it does not
	Until time.Time
	After string // what happens then
	More  string
}

// tasksOf is all work on a cluster.
func tasksOf(c clusterProgress, reports []clusterKeys, keys clusterMasterKeys) []clusterTask {
	var tasks []clusterTask
	if c.Plan != nil {
		tasks = append(tasks, planTask(c))
	}
	if c.Restore != nil {
		tasks = append(tasks, restoreTask(c))
	}
	for _, r := range reports {
		if t, ok := changeTask(c, r); ok {
			tasks = append(tasks, t)
		}
	}
	if t, ok := rotationTask(c, keys); ok {
		tasks = append(tasks, t)
	}
	return tasks
}

// planTask tells how far a plan is.
func planTask(c clusterProgress) clusterTask {
	p := c.Plan
	t := clusterTask{Title: planTitle(*p), Done: p.Done, Of: p.Nodes}
	switch {
	case p.Kind == "delete":
		t.Text = count(p.Nodes, "node") + " to go."
	case len(p.Syncing) > 0:
		t.Text = fmt.Sprintf("Node %d of %d rebuilds its data now: %s. The others serve meanwhile.", min(p.Done+1, p.Nodes), p.Nodes, c.hosts(p.Syncing))
	default:
		t.Text = doneOf(p.Done, p.Nodes, "done")
	}
	if p.WaitsFor != nil {
		t.wait(c, *p)
	}
	if p.Queued {
		t.More = "Another change follows when this one has ended."
	}
	return t
}

func planTitle(p clusterPlan) string {
	from := atlas.Provider(noProvider)
	if p.From != nil {
		from = *p.From
	}
	switch {
	case p.Kind == "create":
		return "The cluster is being created"
	case p.Kind == "delete":
		return "The cluster is being deleted"
	case from == p.To:
		return "The cluster is being changed"
	case p.To == noProvider:
		return "Initial sync: the data leave your key in " + ProviderName(from)
	}
	return "Initial sync: the data are encrypted with your key in " + ProviderName(p.To)
}

// wait tells what a plan waits for, and for how long.
func (t *clusterTask) wait(c clusterProgress, p clusterPlan) {
	if *p.WaitsFor == waitsForNodes {
		if len(p.Syncing) == 0 {
			t.Waits = "It waits for " + c.hosts(p.Awaited) + "."
		}
		return
	}
	t.Waits = "It waits for the key"
	if p.Reason != nil {
		t.Waits += ": " + ReasonText(*p.Reason)
	}
	t.Waits += "."
	if c.Disabled != nil && p.Kind == "update" {
		t.After = "There is data under the key, so it waits for as long as that takes. Give the key back to go on."
		return
	}
	t.Until = patienceEnds(p.WaitsSince)
	t.After = "If the key cannot be used until then, the change is rolled back."
	if p.Kind == "create" {
		t.After = "If the key cannot be used until then, the creation is rolled back and the cluster is gone."
	}
}

// restoreTask tells how far a restore to a cluster is.
func restoreTask(c clusterProgress) clusterTask {
	r := c.Restore
	t := clusterTask{Title: "A snapshot of " + r.From + " is being restored to this cluster", Done: r.Done, Of: r.Nodes}
	switch r.Phase {
	case "QUEUED":
		t.Of, t.Text = 0, "It waits until the cluster is at rest. Nothing was touched yet, and it can be cancelled."
	case "PREPARING":
		t.Text = "The nodes fetch the snapshot and open its key: " + doneOf(r.Done, r.Nodes, "ready") + " Nothing was touched yet, and it can be cancelled."
	default:
		t.Text = doneOf(r.Done, r.Nodes, "restored") + " The cluster serves no data until it is done, and it cannot be cancelled any more."
	}
	if len(r.Awaited) > 0 && r.Phase != "QUEUED" {
		t.Waits = "It waits for " + c.hosts(r.Awaited) + "."
	}
	return t
}

var clusterChangeTitles = map[string]string{
	"rotate-key":         "The new key in %s wraps the master keys anew",
	"switch-role":        "The new access to %s is being proved",
	"reconfigure-region": "The key in %s is being used in its new region",
}

// changeTask tells how far a change of the customer's key is, if nodes of this cluster are concerned.
func changeTask(c clusterProgress, r clusterKeys) (clusterTask, bool) {
	if r.Change == nil || r.Change.State != "UNDER_WAY" || r.Change.Remaining == nil {
		return clusterTask{}, false
	}
	var mine []string
	for _, n := range r.Change.Remaining.Awaited {
		if n.Cluster == c.Name {
			mine = append(mine, n.Node)
		}
	}
	if len(mine) == 0 && !c.uses(r.Provider) {
		return clusterTask{}, false
	}
	title := clusterChangeTitles[r.Change.Kind]
	if title == "" {
		title = "The key in %s is being changed"
	}
	all := r.Change.Remaining.Nodes
	t := clusterTask{Title: fmt.Sprintf(title, ProviderName(r.Provider)), Done: max(0, all-r.Change.Left), Of: all}
	t.Text = "In the whole project, " + doneOf(t.Done, t.Of, "done") + " The data are not rewritten."
	if len(mine) > 0 {
		t.Waits = "Of this cluster, it waits for " + c.hosts(mine) + "."
	}
	if r.Change.BlockedSince != nil {
		t.Waits = "It waits for the key: " + ReasonText(text(r.Change.Reason)) + "."
		t.Until = patienceEnds(r.Change.BlockedSince)
		t.After = "A change that proved nothing until then is taken back."
	}
	return t, true
}

// uses reports whether a key of a provider wraps the master key of some node.
func (c clusterProgress) uses(p atlas.Provider) bool {
	for _, n := range c.Nodes {
		if n.Key != nil && n.Key.Provider == p {
			return true
		}
	}
	return false
}

// rotationTask tells how far the rotation of this cluster's master keys is.
func rotationTask(c clusterProgress, keys clusterMasterKeys) (clusterTask, bool) {
	if keys.Rotation.State == "" || keys.Rotation.State == "RESTING" {
		return clusterTask{}, false
	}
	t := clusterTask{Title: "The master keys are being replaced, as they are every 90 days"}
	var left []string
	for _, k := range keys.Keys {
		if k.Cluster != c.Name {
			continue
		}
		if t.Of++; k.State == "CURRENT" {
			t.Done++
		} else {
			left = append(left, k.Node)
		}
	}
	if len(left) == 0 {
		return clusterTask{}, false
	}
	t.Text = doneOf(t.Done, t.Of, "done") + " One node is replaced at a time, and the data are not rewritten."
	t.Waits = "Left are " + c.hosts(left) + "."
	return t, true
}

// doneOf counts steps in a sentence: 2 of 3 nodes are done.
func doneOf(done, of int, word string) string {
	return fmt.Sprintf("%d of %s %s %s.", done, count(of, "node"), map[bool]string{true: "is", false: "are"}[of == 1], word)
}

// maxHosts is how many nodes are named.
const maxHosts = 5

// hosts names nodes.
func (c clusterProgress) hosts(ids []string) string {
	var names []string
	for _, id := range ids[:min(len(ids), maxHosts)] {
		names = append(names, c.host(id))
	}
	slices.Sort(names)
	if more := len(ids) - len(names); more > 0 {
		names = append(names, count(more, "other"))
	}
	return strings.Join(names, ", ")
}
