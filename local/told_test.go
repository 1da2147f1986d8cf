package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
	"latchkey/local/pocket/messagecloud"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// webhookSecret is what webhooks are signed with.
const webhookSecret = "sign-with-this"

// receiver is a program of a tenant's that webhooks are sent to.
type receiver struct {
	hold chan struct{} // no answer until it is closed; nil answers at once

	mu    sync.Mutex
	calls []http.Header
	wrong []string
}

// ServeHTTP keeps what it is told.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.hold != nil {
		defer func() {
			select {
			case <-r.hold:
			case <-req.Context().Done():
			}
		}()
	}
	body, err := io.ReadAll(req.Body)
	mac := hmac.New(sha1.New, []byte(webhookSecret))
	mac.Write(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := req.Header.Get("X-MMS-Signature"); err != nil || got != base64.StdEncoding.EncodeToString(mac.Sum(nil)) || !json.Valid(body) {
		r.wrong = append(r.wrong, got+" of "+string(body))
	}
	r.calls = append(r.calls, req.Header)
	w.WriteHeader(http.StatusOK)
}

// opened are the ids of the requests that told of an alert which opened.
func (r *receiver) opened() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.calls {
		if h.Get("X-MMS-Event") == "alert.open" {
			ids = append(ids, h.Get("X-MMS-Request-Id"))
		}
	}
	return ids
}

func (r *receiver) check(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wrong) > 0 {
		t.Errorf("wrongly signed: %q", r.wrong)
	}
}

// warn has the project warned of a key that is not valid, at an address.
func (r *running) warn(client *admin.APIClient, address string) {
	r.t.Helper()
	_, _, err := client.AlertConfigurationsApi.CreateAlertConfig(r.t.Context(), r.owner.GroupID, &admin.GroupAlertsConfig{
		EventTypeName: aws.String("AWS_ENCRYPTION_KEY_INVALID"), Enabled: aws.Bool(true),
		Notifications: &[]admin.AlertsNotificationRootForGroup{{
			TypeName: aws.String("WEBHOOK"), WebhookUrl: &address, WebhookSecret: aws.String(webhookSecret), IntervalMin: aws.Int(24 * 60),
		}},
	}).Execute()
	r.must(err)
}

// mailbox reads what was sent of a kind, the latest first, as whoever opens the page.
func (r *running) mailbox(kind string) []messagecloud.Message {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://127.0.0.1/mailbox"+kind, http.NoBody)
	r.must(err)
	req.Header.Set("Accept", "application/json")
	resp, err := r.clouds.RoundTrip(req)
	r.must(err)
	defer resp.Body.Close() //nolint:errcheck // it was only read
	var page struct {
		Messages []messagecloud.Message `json:"messages"`
	}
	r.must(json.NewDecoder(resp.Body).Decode(&page))
	return page.Messages
}

// lossMails are the e-mails that tell of a lost key, by whom they went to.
func (r *running) lossMails() map[string][]messagecloud.Message {
	r.t.Helper()
	mails := map[string][]messagecloud.Message{}
	for _, m := range r.mailbox("") {
		if strings.Contains(m.Subject, "Encryption key lost") {
			mails[strings.Join(m.To, ",")] = append(mails[strings.Join(m.To, ",")], m)
		}
	}
	return mails
}

// join makes somebody a member of the project.
func (e *estate) join(id, address string, roles ...identity.Role) {
	e.t.Helper()
	item, err := store.Encode(keys.Member(e.owner.GroupID, id), 0, project.Member{
		PersonID: id, GroupID: e.owner.GroupID, Username: address, Roles: roles, Since: time.Now(),
	})
	e.must(err)
	item.Index = keys.MembersOf(e.owner.OrgID, id, e.owner.GroupID)
	e.must(e.suite.table.Write(e.t.Context(), store.Put(item)))
}

// A key is taken away: every Project Owner gets one e-mail that names every cluster which stops. All of
// it ends while the webhook has been told and its answer has not come, so it is told again later, under
// the same id.
func TestALostKeyIsToldOnce(t *testing.T) {
	tenant := &receiver{}
	inEstateWith(t, func(cfg *config) { cfg.web = pocket.Transport(tenant) }, func(e *estate) journey { return e.bringAWS(e.client) }, func(e *estate) {
		e.join("64b000000000000000000001", "second@example.com", identity.GroupOwner)
		e.join("64b000000000000000000002", "reader@example.com", identity.GroupReadOnly)
		e.warn(e.client, "https://hooks.tenant.example/x")
		e.ask("B", "AWS")
		e.ask("plain", "NONE")
		e.create("A", "AWS")
		e.idle("B")
		tenant.hold = make(chan struct{})
		e.key.take()
		e.until("the webhook is told", func() bool { return len(tenant.opened()) == 1 })
		e.reboot()
		close(tenant.hold)
		e.until("the owners are told", func() bool { return len(e.lossMails()) == 2 })
		time.Sleep(3 * time.Hour)
		mails := e.lossMails()
		for _, owner := range []string{"owner@example.com", "second@example.com"} {
			if len(mails[owner]) != 1 {
				e.t.Fatalf("%s got %d e-mails of %v", owner, len(mails[owner]), mails)
			}
			text := mails[owner][0].Text
			if !strings.Contains(text, "\n  A (") || !strings.Contains(text, "\n  B (") || strings.Contains(text, "plain") {
				e.t.Errorf("the clusters are not A and B:\n%s", text)
			}
		}
		if len(mails) != 2 {
			e.t.Errorf("others were told: %v", mails)
		}
		if ids := tenant.opened(); len(ids) != 2 || ids[0] != ids[1] {
			e.t.Errorf("the webhook was told under the ids %v", ids)
		}
		if topic := e.mailbox("/topic"); !slices.ContainsFunc(topic, func(m messagecloud.Message) bool { return m.Headers["eventTypeName"] == "AWS_ENCRYPTION_KEY_INVALID" }) {
			e.t.Errorf("the operator's topic was told %v", topic)
		}
		if bus := e.mailbox("/bus"); !slices.ContainsFunc(bus, func(m messagecloud.Message) bool { return strings.Contains(m.Text, "AWS_ENCRYPTION_KEY_INVALID") }) {
			e.t.Errorf("the bus has %d events, and none of the key", len(bus))
		}
		e.key.give()
		e.until("the clusters run again", func() bool { return e.answers("A") && e.answers("B") })
		tenant.check(e.t)
	})
}
