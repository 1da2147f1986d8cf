package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"latchkey/local/states/asl"
	"latchkey/local/states/journal"
)

// Parts of the journal.
const (
	partExecution  = "execution"  // machine/name -> record
	partRunning    = "running"    // machine/name -> record without its data
	partDefinition = "definition" // hash -> text
)

func partStarted(machine string) string { return "started/" + machine }  // time/name -> record without its data
func partFrames(k key) string           { return "frame/" + k.sort() }   // id -> frame
func partHistory(k key) string          { return "history/" + k.sort() } // event id -> event

// Status is the status of an execution.
type Status string

// The statuses of executions.
const (
	Running   Status = "RUNNING"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	TimedOut  Status = "TIMED_OUT"
	Aborted   Status = "ABORTED"
)

// record is an execution in the journal.
type record struct {
	Machine    string    `json:"machine"`
	Name       string    `json:"name"`
	Status     Status    `json:"status"`
	Definition string    `json:"definition"`
	Started    time.Time `json:"started"`
	Stopped    time.Time `json:"stopped,omitzero"`
	// Deadline is when the machine's TimeoutSeconds run out.
	Deadline     time.Time `json:"deadline,omitzero"`
	RedriveCount int       `json:"redriveCount,omitempty"`
	Redriven     time.Time `json:"redriven,omitzero"`
	RedriveToken string    `json:"redriveToken,omitempty"`

	Input  string `json:"input,omitempty"`
	Output string `json:"output,omitempty"`
	Error  string `json:"error,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

func (r record) key() key { return key{r.Machine, r.Name} }

// listed is what lists of executions need of a record.
func (r record) listed() record {
	r.Input, r.Output, r.Error, r.Cause = "", "", "", ""
	return r
}

// startedSort orders executions by when they were started.
func (r record) startedSort() string {
	return fmt.Sprintf("%020d/%s", r.Started.UnixNano(), r.Name)
}

// changes stores the record in all its places.
func (r record) changes() []journal.Change {
	listed := encode(r.listed())
	running := journal.Put(partRunning, r.key().sort(), listed)
	if r.Status != Running {
		running = journal.Delete(partRunning, r.key().sort())
	}
	return []journal.Change{
		journal.Put(partExecution, r.key().sort(), encode(r)),
		journal.Put(partStarted(r.Machine), r.startedSort(), listed),
		running,
	}
}

// phase is what a frame is doing.
type phase string

const (
	ready     phase = "ready"     // its state is to be executed
	waiting   phase = "waiting"   // in a Wait state
	backoff   phase = "backoff"   // until its state is retried
	invoking  phase = "invoking"  // a function has been called
	submitted phase = "submitted" // until the token comes back
	joining   phase = "joining"   // until its branches or iterations have ended
	done      phase = "done"
	failed    phase = "failed"
	aborted   phase = "aborted"
)

// frame is a flow under way: the machine itself ("0"), a branch or an iteration ("0.2").
type frame struct {
	ID    string          `json:"id"`
	State string          `json:"state"`
	Input json.RawMessage `json:"input"` // of State
	Phase phase           `json:"phase"`
	// Entered is when State was entered; zero before that.
	Entered time.Time `json:"entered,omitzero"`
	// EnteredEvent is the event of that, Event the latest event of the flow.
	EnteredEvent int64 `json:"enteredEvent,omitempty"`
	Event        int64 `json:"event,omitempty"`
	// Attempts counts the retries by the entry of Retry that asked for them, Retries all of them.
	Attempts []int `json:"attempts,omitempty"`
	Retries  int   `json:"retries,omitempty"`
	// WakeAt is when waiting and backoff end.
	WakeAt time.Time `json:"wakeAt,omitzero"`

	Call *invocation `json:"call,omitempty"`
	// Length is how many branches or iterations there are, Started how many have begun.
	Length  int `json:"length,omitempty"`
	Started int `json:"started,omitempty"`
	// Item is what an iteration is for.
	Item *mapItem `json:"item,omitempty"`
	// Output is that of a flow that is done.
	Output json.RawMessage `json:"output,omitempty"`

	items []any // of a Map state, while it starts iterations
}

// invocation is a function call of a Task state.
type invocation struct {
	// Try tells this call from earlier ones of the same flow.
	Try       int64           `json:"try"`
	Function  string          `json:"function"`
	Payload   json.RawMessage `json:"payload"`
	Token     string          `json:"token,omitempty"`
	Deadline  time.Time       `json:"deadline,omitzero"`
	Heartbeat time.Time       `json:"heartbeat,omitzero"` // when the next one is overdue
	Every     time.Duration   `json:"every,omitempty"`    // how long a heartbeat lasts
}

type mapItem struct {
	Index int             `json:"index"`
	Value json.RawMessage `json:"value"`
}

// definitionChange keeps a definition's text for the executions that run it.
func definitionChange(m *asl.Machine) (string, journal.Change) {
	sum := sha256.Sum256([]byte(m.Source))
	hash := hex.EncodeToString(sum[:])
	return hash, journal.Put(partDefinition, hash, []byte(m.Source))
}

// unusable says that the definition that an execution was started with cannot be read any more,
// which an upgrade that supports less may cause.
type unusable struct{ err error }

func (u *unusable) Error() string {
	return "the definition that the execution was started with is not accepted any more: " + u.err.Error()
}

// load reads an execution from the journal. If the error is unusable, the execution is there but
// for its machine.
func (e *Engine) load(k key) (*execution, error) {
	rec, err := e.record(k)
	if err != nil {
		return nil, err
	}
	x := e.newExecution(rec, nil)
	if err := x.loadFrames(); err != nil {
		return nil, err
	}
	err = e.cfg.Journal.Scan(partHistory(k), "", true, func(_ string, value []byte) bool {
		var last Event
		if decode(value, &last) == nil {
			x.lastEvent = last.ID
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	x.rand = e.randomFor(k, x.lastEvent)
	source, err := e.cfg.Journal.Get(journal.Key{Part: partDefinition, Sort: rec.Definition})
	if err != nil {
		return nil, err
	}
	if x.machine, err = asl.Parse(k.machine, source); err != nil {
		return x, &unusable{err}
	}
	return x, nil
}

func (x *execution) loadFrames() error {
	var broken error
	err := x.e.cfg.Journal.Scan(partFrames(x.key), "", false, func(id string, value []byte) bool {
		f := &frame{}
		if broken = decode(value, f); broken == nil {
			x.frames[id] = f
		}
		return broken == nil
	})
	for _, f := range x.sorted() {
		if f.Phase == ready {
			x.ready = append(x.ready, f)
		}
	}
	return errors.Join(err, broken)
}

// record reads an execution's record; its error is an *Error if there is none.
func (e *Engine) record(k key) (record, error) {
	value, err := e.cfg.Journal.Get(journal.Key{Part: partExecution, Sort: k.sort()})
	if err != nil {
		return record{}, err
	}
	if value == nil {
		return record{}, refuse(ExecutionDoesNotExist, "Execution Does Not Exist: '%s'", e.executionARN(k))
	}
	var r record
	return r, decode(value, &r)
}

func encode(v any) []byte {
	b, err := asl.Marshal(v)
	if err != nil {
		panic(err) // records and frames are made of strings, numbers and JSON
	}
	return b
}

func decode(b []byte, v any) error { return json.Unmarshal(b, v) }
