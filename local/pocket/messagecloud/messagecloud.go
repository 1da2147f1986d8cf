// Package messagecloud is what messages leave by, for local/pocket: the pocket SES, SNS, EventBridge and
// SQS. Nothing leaves the machine; who was told what is kept, to be read (see Mailbox).
//
// Its invariant: what was acknowledged is kept and survives a crash, the latest of it at least. What
// it does not understand of a request it refuses.
package messagecloud

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

// Kind is where a message went.
type Kind string

// The kinds.
const (
	Mail  Kind = "mail"  // SES
	SMS   Kind = "sms"   // SNS, to a telephone
	Topic Kind = "topic" // SNS, to a topic
	Bus   Kind = "bus"   // EventBridge
)

// Kinds are all kinds.
func Kinds() []Kind { return []Kind{Mail, SMS, Topic, Bus} }

// Message is one message that was accepted.
type Message struct {
	ID      string    `json:"id"`
	Kind    Kind      `json:"kind"`
	At      time.Time `json:"at"`
	From    string    `json:"from,omitempty"`
	To      []string  `json:"to"` // addresses, a telephone number, or the ARN of a topic or bus
	Subject string    `json:"subject,omitempty"`
	Text    string    `json:"text"`
	HTML    string    `json:"html,omitempty"`
	// Headers are an e-mail's own headers, a topic message's attributes, and what an event says of itself.
	Headers map[string]string `json:"headers,omitempty"`
}

// Office takes messages. It is safe for concurrent use.
type Office struct {
	state pocket.State

	mu    sync.Mutex // for reading and then writing
	taken int        // since the start
}

// New opens the office whose messages are kept in state.
func New(state pocket.State) *Office { return &Office{state: state} }

// Services are the services of an AWS cloud that take messages, for pocket.New. The cloud authenticates
// and authorizes their callers.
func (o *Office) Services(cloud *awscloud.Cloud) []pocket.Service {
	return []pocket.Service{o.ses(cloud), o.sns(cloud), o.events(cloud), o.sqs(cloud)}
}

// The kinds of document in the state, besides those of messages.
const (
	kindTopic   = "aws/topic"         // by ARN
	kindQueue   = "aws/queue"         // by account/region/name
	kindWaiting = "aws/queue-message" // by queue and message
)

func (k Kind) document() string { return "aws/message-" + string(k) }

// The messages that are kept of a kind.
const (
	most      = 2000
	pruneEach = 100
)

// accept keeps a message. Messages sort by the time at which they were accepted.
func (o *Office) accept(m Message) (Message, error) {
	m.ID = fmt.Sprintf("%016x-%s", uint64(m.At.UnixNano()), strings.ToLower(rand.Text()[:12]))
	if err := o.state.Put(m.Kind.document(), m.ID, m); err != nil {
		return m, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken++; o.taken%pruneEach != 0 {
		return m, nil
	}
	return m, o.prune(m.Kind)
}

// prune removes the oldest messages of a kind.
func (o *Office) prune(k Kind) error {
	var ids []string
	err := o.state.Each(k.document(), func(id string, _ []byte) error {
		ids = append(ids, id)
		return nil
	})
	for _, id := range ids[:max(0, len(ids)-most)] {
		err = cmp.Or(err, o.state.Delete(k.document(), id))
	}
	return err
}

// Messages are the messages of a kind that are kept, the latest first.
func (o *Office) Messages(k Kind) ([]Message, error) {
	messages := []Message{}
	err := o.state.Each(k.document(), func(_ string, body []byte) error {
		var m Message
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		messages = append(messages, m)
		return nil
	})
	slices.Reverse(messages)
	return messages, err
}

// Message finds one message of whichever kind.
func (o *Office) Message(id string) (m Message, found bool, err error) {
	for _, k := range Kinds() {
		if found, err = o.state.Get(k.document(), id, &m); found || err != nil {
			return m, found, err
		}
	}
	return m, false, nil
}

// Failures that several services have.
var (
	throttled = awscloud.Failure{Code: "ThrottlingException", Message: "Rate exceeded"}
	broken    = awscloud.Failure{
		Code: "InternalFailure", Message: "The request processing has failed because of an unknown error.", Status: http.StatusInternalServerError,
	}
)

func unknown(r *awscloud.Request) error {
	return &awscloud.Failure{Code: "UnknownOperationException", Message: "the pocket AWS does not have the operation " + r.Operation}
}

// newUUID makes the ids that SNS, EventBridge and SQS answer with.
func newUUID() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}
