package measure

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/stack"
	"latchkey/shared/node/protocol"
	"latchkey/shared/suite/operator"
)

// Node is what a node takes.
type Node struct {
	Enrolment, Wrap, Release Usage
	// Heartbeat is one of a steady node that stores nothing, Hour all of an hour, of a node that is not the only
	// one. Instance is what an instance of the function takes in an hour, however many nodes it serves.
	Heartbeat, Hour, Instance Usage
	// PerHour is how many heartbeats an hour has.
	PerHour int
	// AnswerBytes are about what an answer to a heartbeat has, with its headers.
	AnswerBytes int
	// CPU is how long a heartbeat takes on one core of the machine that measures, without the table.
	CPU time.Duration
}

// agent is a node's agent as the protocol has it.
type agent struct {
	world   *World
	who     protocol.Identity
	key     ed25519.PrivateKey
	control []byte
	report  protocol.Report
	headers int // of the last answer
}

// Node has a node enrol, get a master key, and be steady.
func (w *World) Node(ctx context.Context) (n Node, err error) {
	if err := w.bringKey(ctx, w.owner.GroupID); err != nil {
		return n, err
	}
	cluster := step{"POST", "2024-10-23", inGroup + "/clusters", `{"name":"N","clusterType":"REPLICASET","encryptionAtRestProvider":"AWS","replicationSpecs":[{` +
		`"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}`, ""}
	if _, err := w.take(ctx, w.account(), cluster); err != nil {
		return n, err
	}
	var agents [2]*agent
	for i := range agents {
		a := &agent{world: w}
		agents[i] = a
		if n.Enrolment, err = a.enrol(ctx); err != nil {
			return n, err
		}
		if n.Wrap, n.Release, err = a.bringKey(ctx); err != nil {
			return n, err
		}
		if err := a.settle(ctx); err != nil {
			return n, err
		}
	}
	if err := n.steady(ctx, agents[0], agents[1]); err != nil {
		return n, err
	}
	return n, agents[1].time(ctx, &n)
}

// call asks something of the control plane.
func (a *agent) call(ctx context.Context, path string, body, answer any) (Usage, error) {
	ctx, tally := counted(ctx)
	text, err := json.Marshal(body)
	if err != nil {
		return Usage{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1"+path, bytes.NewReader(text))
	if err != nil {
		return Usage{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	if a.who.NodeID != "" {
		token, err := protocol.SignToken(a.key, a.who, a.world.now())
		if err != nil {
			return Usage{}, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := pocket.Transport(a.world.nodes).RoundTrip(r)
	if err != nil {
		return Usage{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // read below
	out, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s is answered %d %s", path, resp.StatusCode, out)
	}
	var header bytes.Buffer
	err = errors.Join(err, resp.Header.Write(&header))
	a.headers = header.Len()
	if err == nil && answer != nil {
		err = json.Unmarshal(out, answer)
	}
	return tally.All(), err
}

// operate asks something of the operator's function.
func (w *World) operate(ctx context.Context, r operator.Request) (result operator.Result, err error) {
	f, err := stack.Named(w.functions, "operator")
	if err != nil {
		return result, err
	}
	payload, err := json.Marshal(r) //nolint:gosec // it holds no key
	if err != nil {
		return result, err
	}
	out, err := f.Invoke(ctx, payload)
	if err == nil {
		err = json.Unmarshal(out, &result)
	}
	return result, err
}

func (a *agent) enrol(ctx context.Context) (Usage, error) {
	waiting, err := a.world.operate(ctx, operator.Request{Operation: operator.ListWaitingNodes})
	if err != nil || len(waiting.Nodes) == 0 {
		return Usage{}, errors.Join(err, errors.New("no node waits for an agent"))
	}
	node := waiting.Nodes[len(waiting.Nodes)-1]
	issued, err := a.world.operate(ctx, operator.Request{Operation: operator.IssueNodeToken, ClusterID: node.ClusterID, NodeID: node.NodeID})
	if err != nil {
		return Usage{}, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Usage{}, err
	}
	a.key = private
	var enrolled protocol.EnrolResponse
	u, err := a.call(ctx, protocol.EnrolPath, protocol.EnrolRequest{Token: issued.Token, PublicKey: public}, &enrolled)
	a.who = protocol.Identity{NodeID: enrolled.NodeID, ClusterID: enrolled.ClusterID}
	a.control = enrolled.ControlPlaneKey
	return u, err
}

// bringKey makes a master key, has it wrapped, and has it released.
func (a *agent) bringKey(ctx context.Context) (wrap, release Usage, err error) {
	var id [16]byte
	secret := make([]byte, protocol.MasterKeySize)
	rand.Read(id[:])  // never fails
	rand.Read(secret) // never fails
	a.report = protocol.Report{State: protocol.StateStarting, KeyID: hex.EncodeToString(id[:])}
	sealed, err := protocol.SealKey(a.control, protocol.ToControlPlane, a.who.NodeID, a.report.KeyID, secret)
	if err != nil {
		return wrap, release, err
	}
	var wrapped protocol.WrapResponse
	if wrap, err = a.call(ctx, protocol.WrapPath, protocol.WrapRequest{KeyID: a.report.KeyID, SealedKey: sealed}, &wrapped); err != nil {
		return wrap, release, err
	}
	if err := a.carryOut(ctx, wrapped.Wrapped); err != nil {
		return wrap, release, err
	}
	recipient, err := protocol.NewRecipient()
	if err != nil {
		return wrap, release, err
	}
	asked := protocol.ReleaseRequest{KeyID: a.report.KeyID, Wrapped: wrapped.Wrapped, Recipient: recipient.Public()}
	release, err = a.call(ctx, protocol.ReleasePath, asked, nil)
	return wrap, release, err
}

// carryOut finishes what the node was told to do.
func (a *agent) carryOut(ctx context.Context, wrapped protocol.WrappedKey) error {
	var told protocol.HeartbeatResponse
	if _, err := a.call(ctx, protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: a.report}, &told); err != nil {
		return err
	}
	a.report.State, a.report.CommandAcked, a.report.StartedAt = protocol.StateRunning, told.Command.Number, a.world.now()
	wrapped.Blob = nil
	if told.Command.Number > 0 {
		ack := protocol.AckRequest{Command: told.Command.Number, Outcome: protocol.Done, KeyID: a.report.KeyID, Wrapped: wrapped}
		if _, err := a.call(ctx, protocol.AckPath, ack, nil); err != nil {
			return err
		}
	}
	return nil
}

// settle calls until the control plane asks for no more than a call a minute.
func (a *agent) settle(ctx context.Context) error {
	const attempts = 20
	for range attempts {
		var told protocol.HeartbeatResponse
		if _, err := a.call(ctx, protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: a.report}, &told); err != nil {
			return err
		}
		a.world.pass(told.Next())
		if told.Next() >= protocol.DefaultInterval {
			return nil
		}
	}
	return errors.New("the node does not get steady")
}

// beat is a heartbeat of a steady node.
func (a *agent) beat(ctx context.Context) (Usage, error) {
	var told protocol.HeartbeatResponse
	u, err := a.call(ctx, protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: a.report}, &told)
	if err == nil && told.Next() != protocol.DefaultInterval {
		err = fmt.Errorf("the node was steady and is asked to call in %s", told.Next())
	}
	return u, err
}

// steady measures an hour of heartbeats of two nodes, the second of which finds fresh whatever both need.
func (n *Node) steady(ctx context.Context, first, second *agent) error {
	n.PerHour = int(time.Hour / protocol.DefaultInterval)
	for range n.PerHour {
		u, err := first.beat(ctx)
		if err != nil {
			return err
		}
		n.Instance = n.Instance.Plus(u)
		if u, err = second.beat(ctx); err != nil {
			return err
		}
		n.Hour, n.Instance = n.Hour.Plus(u), n.Instance.Less(u)
		if u.Writes() == 0 {
			n.Heartbeat, n.AnswerBytes = u, u.Answered+second.headers
		}
		first.world.pass(protocol.DefaultInterval)
	}
	return nil
}

// time measures how long a heartbeat takes, without what the table takes. What is due is written by the first.
func (a *agent) time(ctx context.Context, n *Node) error {
	const times, batch = 6, 100
	beats := func() error {
		for range batch {
			if _, err := a.call(ctx, protocol.HeartbeatPath, protocol.HeartbeatRequest{Report: a.report}, nil); err != nil {
				return err
			}
		}
		return nil
	}
	took, err := a.world.aside.least(times, beats)
	n.CPU = took / batch
	return err
}
