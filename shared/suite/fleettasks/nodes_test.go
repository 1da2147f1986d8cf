package fleettasks_test

import (
	"errors"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/store"
)

// nodes are the agents of all nodes that there are, and the databases beside them.
type nodes struct {
	w     *world
	minds map[string]*mind
	// syncs is how long a node takes to rebuild its data.
	syncs time.Duration
	// deaf are nodes that are not heard of.
	deaf map[string]bool
	// cannot is why nodes cannot rebuild their data; "" if they can.
	cannot string
	// resyncs counts how often nodes were told to rebuild their data.
	resyncs int
}

// mind is what an agent remembers.
type mind struct {
	began   int64          // the last command to rebuild its data
	done    int64          // the last command that was carried out
	data    atlas.Provider // whose key encrypts what it has; "" while it has nothing
	isUp    bool
	failure cluster.Failure
	syncing time.Time // since when it rebuilds its data; zero if it does not
}

// call has every node hear what it should do, do it and say how it is.
func (s *nodes) call() {
	w := s.w
	w.t.Helper()
	for _, name := range s.names() {
		d, err := w.clusters.Get(w.t.Context(), w.group, name)
		if atlas.CodeOf(err) == atlas.ClusterNotFound {
			continue
		}
		w.must(err)
		for _, n := range d.Nodes {
			if s.deaf[n.ID] {
				continue
			}
			if n.PublicKey == nil {
				s.enrol(n)
				continue
			}
			m := s.minds[n.ID]
			if m == nil {
				m = &mind{}
				s.minds[n.ID] = m
			}
			s.obey(m, n, d.Disabled != nil)
			err := s.report(m, n)
			if !errors.Is(err, cluster.ErrNoNode) {
				w.must(err)
			}
		}
	}
}

func (s *nodes) names() []string {
	names, err := s.w.clusters.Names(s.w.t.Context(), s.w.group)
	s.w.must(err)
	return names
}

// enrol gives a node a key, so that it may have data.
func (s *nodes) enrol(n cluster.Node) {
	n.PublicKey = []byte("key")
	op, err := n.Put()
	s.w.must(err)
	if err := s.w.db.Write(s.w.t.Context(), op); !errors.Is(err, store.ErrConflict) {
		s.w.must(err)
	}
}

// obey does what a node is told. A database with a key starts only while the key can be used.
func (s *nodes) obey(m *mind, n cluster.Node, isDisabled bool) {
	m.failure = cluster.Failure{}
	if s.cannot != "" && n.Desired.Command == cluster.ResyncCommand {
		m.done, m.failure = n.Desired.Number, cluster.Failure{Command: n.Desired.Number, Reason: s.cannot}
		return
	}
	if n.Desired.Number > m.began && n.Desired.Command == cluster.ResyncCommand && n.Desired.State == cluster.Run {
		m.began, m.syncing, m.data, m.isUp = n.Desired.Number, time.Now(), "", false
		s.resyncs++
	}
	want := m.data
	if want == "" {
		want = n.Desired.Provider
	}
	switch {
	case n.Desired.Command == cluster.DeleteCommand:
		m.done, m.isUp, m.data = n.Desired.Number, false, ""
	case n.Desired.State == cluster.Stop:
		m.done, m.isUp, m.syncing = n.Desired.Number, false, time.Time{}
	case n.Desired.Command != cluster.ResyncCommand:
		m.done, m.syncing = n.Desired.Number, time.Time{}
		m.start(want, !m.isUp && s.releases(want, isDisabled))
	case time.Since(m.syncing) >= s.syncs && !m.syncing.IsZero() && s.releases(n.Desired.Provider, isDisabled):
		m.done, m.syncing = n.Desired.Number, time.Time{}
		m.start(n.Desired.Provider, true)
	case m.syncing.IsZero():
		m.start(want, !m.isUp && s.releases(want, isDisabled))
	}
}

func (m *mind) start(p atlas.Provider, ok bool) {
	if ok {
		m.data, m.isUp = p, true
	}
}

// releases reports whether a node gets its master key.
func (s *nodes) releases(p atlas.Provider, isDisabled bool) bool {
	if p == cluster.None {
		return true
	}
	reason, _ := s.w.settings.ProveUse(s.w.t.Context(), s.w.group, p)
	return !isDisabled && reason == "OK"
}

func (s *nodes) report(m *mind, n cluster.Node) error {
	r := cluster.Reported{State: cluster.Stop, Provider: m.data, Acked: m.done, Failure: m.failure}
	switch {
	case m.isUp:
		r.State = cluster.Run
	case !m.syncing.IsZero() && time.Since(m.syncing) < s.syncs:
		r.State = ""
	}
	_, err := s.w.clusters.ReportNode(s.w.t.Context(), n.ClusterID, n.ID, r)
	return err
}
