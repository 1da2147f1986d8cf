package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/project"
	"latchkey/shared/seal"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Groups finds what a message calls by name; project.Service is the one in use.
type Groups interface {
	// Find reads a group, open or closed. It fails with GROUP_NOT_FOUND if there never was one.
	Find(ctx context.Context, groupID string) (project.Group, error)
	// FindOrg reads an organisation. It fails with ORG_NOT_FOUND if there is none.
	FindOrg(ctx context.Context, orgID string) (project.Org, error)
}

// Opener opens the secrets of notifications; seal.Sealer is the one in use.
type Opener interface {
	Open(ctx context.Context, s seal.Sealed, c seal.Context) ([]byte, error)
}

// Service delivers. Fields without a comment are required.
type Service struct {
	Table  store.Table
	People People
	Groups Groups
	Opener Opener
	// Channels has the channel of every kind that is switched on; the kinds that tell people go
	// through that of alert.Email.
	Channels map[alert.Kind]Channel
	// Topic is told once of every alert that opens and once of its end; nil if nobody listens.
	Topic Channel
	// Document shows an alert as the API does, as JSON, and the address of the alert.
	Document func(a alert.Alert) (document []byte, link string, err error)
	Now      func() time.Time
	// Jitter draws a number from 0 up to 1.
	Jitter func() float64
	Log    *slog.Logger

	patience patience
}

// Deliver tells the targets of what is stored at a key, a notice or an e-mail, unless they have
// been told, somebody is at it, or the next attempt is not due yet. It returns no error for a
// target that was not told, which is stored and tried again by RetryDue, but for what kept that
// from being stored; call it again then.
func (s *Service) Deliver(ctx context.Context, key store.Key) error {
	p, err := s.load(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is over, or the group is gone with all that was in it
	}
	if err != nil {
		return err
	}
	for _, entry := range p.entries(s.Topic != nil) {
		if err := s.attempt(ctx, p, entry); err != nil {
			return fmt.Errorf("deliver %s of %s: %w", entry, key.PK, err)
		}
	}
	return nil
}

// parcel is what is to be delivered: a notice or an e-mail.
type parcel struct {
	groupID string
	source  string
	notice  *alert.Notice
	mail    *Mail
}

// load reads what is stored at a key. It returns store.ErrNotFound for a key of something else.
func (s *Service) load(ctx context.Context, key store.Key) (parcel, error) {
	groupID, ok := strings.CutPrefix(key.PK, keys.Group("").PK)
	if !ok {
		return parcel{}, store.ErrNotFound
	}
	p := parcel{groupID: groupID, source: key.SK}
	switch {
	case strings.HasPrefix(key.SK, keys.AlertNoticePrefix):
		n, _, err := store.Load[alert.Notice](ctx, s.Table, key)
		p.notice = &n
		return p, err
	case strings.HasPrefix(key.SK, keys.MailPrefix):
		m, _, err := store.Load[Mail](ctx, s.Table, key)
		p.mail = &m
		return p, err
	}
	return parcel{}, store.ErrNotFound
}

// topicPrefix begins the entries of deliveries to the operator's topic.
const topicPrefix = "TOPIC#"

// entries are the deliveries that a parcel makes: to its targets and, once per alert and event
// however many targets there are, to the topic.
func (p parcel) entries(topic bool) []string {
	if p.notice == nil || !topic {
		return []string{p.source}
	}
	e := eventOf(*p.notice)
	if e == Updated {
		return []string{p.source}
	}
	return []string{p.source, topicPrefix + p.notice.Alert.ID + "#" + string(e)}
}

// Contention bounds.
const (
	// claims is how often a claim is tried that conflicts although nobody else has claimed: the
	// table may be busy.
	claims = 4
	// forOne bounds what one target may take. Channels have narrower bounds of their own.
	forOne = 20 * time.Second
	// forRecord is what is left of an invocation's time to store how an attempt ended.
	forRecord = 5 * time.Second
)

// attempt claims one delivery, tells the targets that have not been told, and stores how that ended.
func (s *Service) attempt(ctx context.Context, p parcel, entry string) error {
	for range claims {
		d, err := s.delivery(ctx, p, entry)
		if err != nil {
			return err
		}
		claimed, ok := d.claim(s.Now().UTC())
		if !ok {
			return nil
		}
		claimed, err = s.store(ctx, claimed)
		switch {
		case errors.Is(err, store.ErrConflict):
			continue // look at what it is now: somebody else's, or still nobody's
		case err != nil:
			return err
		}
		return s.tell(ctx, p, claimed)
	}
	return fmt.Errorf("claim %s: %w", entry, store.ErrConflict)
}

// delivery reads how far a delivery has come, and begins one that has not begun: whom it goes to is
// decided then and stays.
func (s *Service) delivery(ctx context.Context, p parcel, entry string) (Delivery, error) {
	d, version, err := store.Load[Delivery](ctx, s.Table, keys.Delivery(p.groupID, entry))
	d.version = version
	if !errors.Is(err, store.ErrNotFound) {
		return d, err
	}
	d = Delivery{GroupID: p.groupID, Entry: entry, Source: p.source}
	switch {
	case strings.HasPrefix(entry, topicPrefix):
		d.Targets = []DeliveredTarget{waiting(topic, "")}
		return d, nil
	case p.mail != nil:
		d.Targets, err = s.addressees(ctx, *p.mail)
	default:
		d.Targets, err = s.recipients(ctx, *p.notice)
	}
	if err == nil && len(d.Targets) == 0 {
		d.Targets = []DeliveredTarget{{Kind: alert.Email, State: Dead, Reason: NoRecipient}}
	}
	return d, err
}

// topic is the kind of the target that is the operator's topic. No configuration has it.
const topic alert.Kind = "TOPIC"

// store stores a delivery unless somebody else did since it was read, and returns it as it is
// stored.
func (s *Service) store(ctx context.Context, d Delivery) (Delivery, error) {
	op, err := d.put()
	if err != nil {
		return d, err
	}
	if err := s.Table.Write(ctx, op); err != nil {
		return d, err
	}
	d.version++
	return d, nil
}

// tell tells the targets of a claimed delivery. After each but the last it stores who was told, so
// that a crash repeats one at most. It stops when the claim is no longer its own.
func (s *Service) tell(ctx context.Context, p parcel, d Delivery) error {
	work, release := reserving(ctx, forRecord)
	defer release()
	leased, cancel := context.WithTimeout(work, d.Next.Sub(s.Now())-forOne)
	defer cancel()
	m, hindrance, err := s.compose(leased, p, d)
	if err != nil {
		return err
	}
	before := d
	for i, t := range d.Targets {
		if t.State.Ended() {
			continue
		}
		outcome := hindrance
		if outcome == nil {
			m.ID = messageID(d, i)
			outcome = s.send(leased, p, m, t)
		}
		if err := ctx.Err(); err != nil {
			return err // nobody knows whether it was told; the lease ends, and it is told again
		}
		d = d.told(i, outcome, s.Now().UTC())
		if isLast(d.Targets[i+1:]) {
			break
		}
		if d, err = s.store(ctx, d); err != nil {
			return lost(err)
		}
		if leased.Err() != nil {
			break // the others wait for the next attempt
		}
	}
	d = d.release(s.Now().UTC(), s.Jitter())
	s.report(ctx, before, d)
	_, err = s.store(ctx, d)
	return lost(err)
}

// reserving is a context that ends a while before another one does. What compares the end of a context with
// Service.Now is wrong: that end is by the clock of the platform.
func reserving(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-while))
	}
	return ctx, func() {}
}

// isLast reports whether nobody of the rest is to be told.
func isLast(rest []DeliveredTarget) bool {
	for _, t := range rest {
		if !t.State.Ended() {
			return false
		}
	}
	return true
}

// lost forgives that a claim was lost: whoever has it now goes on.
func lost(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// compose makes the message of a parcel. hindrance is why it is not sent now, or at all.
func (s *Service) compose(ctx context.Context, p parcel, d Delivery) (m Message, hindrance, err error) {
	if p.mail != nil {
		return messageOfMail(*p.mail), nil, nil
	}
	n := *p.notice
	hindrance, err = s.outOfTurn(ctx, n, d)
	if err != nil || hindrance != nil {
		return Message{}, hindrance, err
	}
	called, err := s.called(ctx, n.Alert)
	if err != nil {
		return Message{}, nil, err
	}
	m = messageOf(n, called)
	view, link, err := s.Document(n.Alert)
	if err != nil {
		return Message{}, nil, err
	}
	m.Document, err = documentOf(view, m, called)
	m.Link = link
	return m, nil, err
}

// documentOf is the alert as the API shows it, with what webhooks are told besides.
func documentOf(view []byte, m Message, called names) ([]byte, error) {
	var document map[string]json.RawMessage
	if err := json.Unmarshal(view, &document); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"humanReadable": m.Text, "orgName": called.org, "projectName": called.group} {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		document[name] = raw
	}
	return json.Marshal(document)
}

// called finds the names of an alert's places. What has none any more goes by its id.
func (s *Service) called(ctx context.Context, a alert.Alert) (names, error) {
	called := names{group: a.GroupID, org: a.OrgID}
	g, err := s.Groups.Find(ctx, a.GroupID)
	switch {
	case err == nil:
		called.group = g.Name
	case atlas.CodeOf(err) != atlas.GroupNotFound:
		return called, err
	}
	o, err := s.Groups.FindOrg(ctx, a.OrgID)
	switch {
	case err == nil:
		called.org = o.Name
	case atlas.CodeOf(err) != atlas.OrgNotFound:
		return called, err
	}
	return called, nil
}

// send tells one target.
func (s *Service) send(ctx context.Context, p parcel, m Message, t DeliveredTarget) error {
	channel := s.Channels[t.Kind]
	if t.Kind == topic {
		channel = s.Topic
	}
	if channel == nil {
		return &Failure{Reason: ChannelOff}
	}
	target := Target{Kind: t.Kind, Address: t.Address}
	if p.notice != nil && t.Address == "" && t.Kind != topic {
		target.Members = p.notice.Notification.Members
		secrets, err := s.secrets(ctx, *p.notice)
		if err != nil {
			return err
		}
		target.Secrets = secrets
	}
	ctx, cancel := context.WithTimeout(ctx, forOne)
	defer cancel()
	if t.Kind != alert.Webhook && t.Kind != alert.Teams { // whose pace no project decides on
		return channel.Send(ctx, m, target)
	}
	began := s.Now()
	if !s.patience.has(p.groupID, began) {
		return &Failure{Reason: HeldUp}
	}
	err := channel.Send(ctx, m, target)
	ended := s.Now()
	s.patience.spend(p.groupID, ended.Sub(began), ended)
	return err
}

// secrets opens a notification's secrets.
func (s *Service) secrets(ctx context.Context, n alert.Notice) (map[string]string, error) {
	opened := make(map[string]string, len(n.Notification.Secrets))
	for member, secret := range n.Notification.Secrets {
		plain, err := s.Opener.Open(ctx, secret.Sealed, alert.SecretContext(n.Alert.GroupID, member))
		if errors.Is(err, seal.ErrUnopenable) {
			return nil, &Failure{Reason: SecretLost, Permanent: true}
		}
		if err != nil {
			return nil, &Failure{Reason: Ours, Code: "SEAL_UNAVAILABLE"}
		}
		opened[member] = string(plain)
	}
	return opened, nil
}
