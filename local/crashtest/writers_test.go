package crashtest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
)

// writer writes things of one kind, one after the other, and reads all of them.
type writer struct {
	*book
	rand  *rand.Rand
	count int // names what it makes
	ids   map[string]string
	step  func(ctx context.Context, w *writer, t *tenant) outcome
	read  func(ctx context.Context, w *writer, t *tenant) (map[string]string, error)
	rest  time.Duration // between two steps, about
	// excuse, if set, adds to what may be there what the suite itself may have written, and said so.
	excuse func(ctx context.Context, w *writer, t *tenant) error
}

// work writes until enough ends. With ctx ends what is under way, too.
func (w *writer) work(ctx, enough context.Context, t *tenant) {
	for enough.Err() == nil {
		rest := time.Duration(w.rand.Int64N(int64(2 * w.rest)))
		if w.step(ctx, w, t) != done {
			rest = max(rest, 30*time.Millisecond)
		}
		pause(enough, rest)
	}
}

func (w *writer) next() string { w.count++; return fmt.Sprint(w.kind, "-", w.count) }

// change writes a thing by a call.
func (w *writer) change(ctx context.Context, t *tenant, name, value, method, path, body string) outcome {
	return w.write(name, value, func() outcome {
		a := t.call(ctx, method, path, body)
		if id, ok := a.body["id"].(string); ok {
			w.ids[name] = id
		}
		return a.outcome
	})
}

// writers are all that write at the same time.
func writers(seed uint64, keyIDs []string) []*writer {
	all := []*writer{
		{book: newBook("setting"), rest: 200 * time.Millisecond, step: rotate(keyIDs), read: readSettings("customerMasterKeyID"), excuse: rollbacks(keyIDs)},
		{book: newBook("flag"), rest: 150 * time.Millisecond, step: flip, read: readSettings("enabledForSearchNodes")},
		{book: newBook("cluster"), rest: 150 * time.Millisecond, step: churn, read: readClusters},
		{book: newBook("apikey"), rest: 40 * time.Millisecond, step: stepAPIKeys, read: readAPIKeys},
		{book: newBook("alert"), rest: 40 * time.Millisecond, step: stepAlerts, read: readAlerts},
		{book: newBook("key"), rest: 40 * time.Millisecond, step: stepKeys, read: readKeys},
		{book: newBook("value"), rest: 10 * time.Millisecond, step: stepValues, read: readValues},
		{book: newBook("other"), rest: 10 * time.Millisecond, step: stepValues, read: readValues},
	}
	for i, w := range all {
		w.rand, w.ids = rand.New(rand.NewPCG(seed, uint64(i+1))), map[string]string{}
	}
	all[6].transient, all[7].transient = true, true
	all[0].things["customerMasterKeyID"] = &thing{told: keyIDs[0]}
	all[1].things["enabledForSearchNodes"] = &thing{told: "false"}
	return all
}

// rotate has the group use another key.
func rotate(keyIDs []string) func(context.Context, *writer, *tenant) outcome {
	return func(ctx context.Context, w *writer, t *tenant) outcome {
		key := keyIDs[w.rand.IntN(len(keyIDs))]
		return w.change(ctx, t, "customerMasterKeyID", key, http.MethodPatch, "/encryptionAtRest",
			fmt.Sprintf(`{"awsKms":{"customerMasterKeyID":%q}}`, key))
	}
}

// rollbacks are where the suite went back to the key before, since the tenant has disabled the new one. There is
// an event of each.
func rollbacks(keyIDs []string) func(context.Context, *writer, *tenant) error {
	seen := 0
	return func(ctx context.Context, w *writer, t *tenant) error {
		a := t.call(ctx, http.MethodGet, "/events?eventType=ENCRYPTION_AT_REST_CHANGE_ROLLED_BACK&itemsPerPage=500", "")
		if a.outcome != done {
			return fmt.Errorf("events: %d %s", a.status, a.text)
		}
		if n := len(a.results()); n > seen {
			seen = n
			for _, th := range w.things {
				th.maybe = append(th.maybe, keyIDs...)
			}
		}
		return nil
	}
}

// flip changes another member of the same settings, which the other writer leaves out.
func flip(ctx context.Context, w *writer, t *tenant) outcome {
	value := strconv.FormatBool(w.rand.IntN(2) == 0)
	return w.change(ctx, t, "enabledForSearchNodes", value, http.MethodPatch, "/encryptionAtRest", `{"enabledForSearchNodes":`+value+`}`)
}

func readSettings(name string) func(context.Context, *writer, *tenant) (map[string]string, error) {
	return func(ctx context.Context, _ *writer, t *tenant) (map[string]string, error) {
		a := t.call(ctx, http.MethodGet, "/encryptionAtRest", "")
		if a.outcome != done {
			return nil, fmt.Errorf("settings: %d %s", a.status, a.text)
		}
		block, _ := a.body["awsKms"].(map[string]any)
		if value, ok := block[name]; ok {
			return map[string]string{name: fmt.Sprint(value)}, nil
		}
		return map[string]string{name: fmt.Sprint(a.body[name])}, nil
	}
}

// churn makes, changes and deletes clusters. It has few at a time: each is three nodes.
func churn(ctx context.Context, w *writer, t *tenant) outcome {
	const most = 2
	live := w.settled()
	if len(live) < most {
		name := w.next()
		return w.change(ctx, t, name, "new", http.MethodPost, "/clusters", clusterBody(name, "new", []string{"AWS", "NONE"}[w.rand.IntN(2)]))
	}
	name := live[w.rand.IntN(len(live))]
	if w.rand.IntN(5) == 0 {
		return w.change(ctx, t, name, "", http.MethodDelete, "/clusters/"+name, "")
	}
	note := w.next()
	return w.change(ctx, t, name, note, http.MethodPatch, "/clusters/"+name, fmt.Sprintf(`{"tags":[{"key":"note","value":%q}]}`, note))
}

func readClusters(ctx context.Context, _ *writer, t *tenant) (map[string]string, error) {
	list, err := t.list(ctx, "/clusters")
	found := map[string]string{}
	for _, c := range list {
		if c["name"] != dataCluster && c["stateName"] != "DELETING" {
			found[fmt.Sprint(c["name"])] = noteOf(c)
		}
	}
	return found, err
}

func noteOf(cluster map[string]any) string {
	tags, _ := cluster["tags"].([]any)
	for _, tag := range tags {
		if tag, ok := tag.(map[string]any); ok {
			return fmt.Sprint(tag["value"])
		}
	}
	return "no note"
}

func stepAPIKeys(ctx context.Context, w *writer, t *tenant) outcome {
	live := w.settled()
	if len(live) < 4 {
		name := w.next()
		return w.change(ctx, t, name, "GROUP_READ_ONLY", http.MethodPost, "/apiKeys", fmt.Sprintf(`{"desc":%q,"roles":["GROUP_READ_ONLY"]}`, name))
	}
	name := live[w.rand.IntN(len(live))]
	if w.rand.IntN(3) == 0 {
		return w.change(ctx, t, name, "", http.MethodDelete, "atlas/v2/orgs/"+t.at["ORG_ID"]+"/apiKeys/"+w.ids[name], "")
	}
	role := []string{"GROUP_READ_ONLY", "GROUP_OWNER", "GROUP_CLUSTER_MANAGER"}[w.rand.IntN(3)]
	return w.change(ctx, t, name, role, http.MethodPatch, "/apiKeys/"+w.ids[name], fmt.Sprintf(`{"roles":[%q]}`, role))
}

func readAPIKeys(ctx context.Context, w *writer, t *tenant) (map[string]string, error) {
	list, err := t.list(ctx, "/apiKeys")
	found := map[string]string{}
	for _, key := range list {
		name := fmt.Sprint(key["desc"])
		if !strings.HasPrefix(name, w.kind) {
			continue
		}
		w.ids[name] = fmt.Sprint(key["id"])
		roles, _ := key["roles"].([]any)
		for _, role := range roles {
			if role, ok := role.(map[string]any); ok && role["groupId"] != nil {
				found[name] += fmt.Sprint(role["roleName"])
			}
		}
	}
	return found, err
}

func stepAlerts(ctx context.Context, w *writer, t *tenant) outcome {
	live := w.settled()
	if len(live) < 4 {
		name := w.next()
		return w.change(ctx, t, name, "true", http.MethodPost, "/alertConfigs", fmt.Sprintf(
			`{"eventTypeName":"AWS_ENCRYPTION_KEY_NEEDS_ROTATION","enabled":true,"threshold":{"operator":"GREATER_THAN","threshold":90,"units":"DAYS"},
			"notifications":[{"typeName":"EMAIL","emailAddress":"%s@example.com","intervalMin":5,"delayMin":0}]}`, name))
	}
	name := live[w.rand.IntN(len(live))]
	if w.rand.IntN(3) == 0 {
		return w.change(ctx, t, name, "", http.MethodDelete, "/alertConfigs/"+w.ids[name], "")
	}
	value := strconv.FormatBool(w.rand.IntN(2) == 0)
	return w.change(ctx, t, name, value, http.MethodPatch, "/alertConfigs/"+w.ids[name], `{"enabled":`+value+`}`)
}

func readAlerts(ctx context.Context, w *writer, t *tenant) (map[string]string, error) {
	list, err := t.list(ctx, "/alertConfigs")
	found := map[string]string{}
	for _, config := range list {
		targets, _ := config["notifications"].([]any)
		for _, target := range targets {
			target, _ := target.(map[string]any)
			if name, ok := strings.CutSuffix(fmt.Sprint(target["emailAddress"]), "@example.com"); ok && strings.HasPrefix(name, w.kind) {
				w.ids[name], found[name] = fmt.Sprint(config["id"]), fmt.Sprint(config["enabled"])
			}
		}
	}
	return found, err
}

// stepKeys makes customer keys of which nobody makes use, and disables and enables them.
func stepKeys(ctx context.Context, w *writer, t *tenant) outcome {
	live := w.settled()
	if len(live) < 4 {
		name := w.next()
		return w.write(name, "Enabled", func() outcome {
			key, err := t.keys.CreateKey(ctx, &kms.CreateKeyInput{Description: &name})
			if err == nil {
				w.ids[name] = *key.KeyMetadata.KeyId
			}
			return outcomeOf(err)
		})
	}
	name := live[w.rand.IntN(len(live))]
	if w.rand.IntN(2) == 0 {
		return w.write(name, "Disabled", func() outcome {
			_, err := t.keys.DisableKey(ctx, &kms.DisableKeyInput{KeyId: aws.String(w.ids[name])})
			return outcomeOf(err)
		})
	}
	return w.write(name, "Enabled", func() outcome {
		_, err := t.keys.EnableKey(ctx, &kms.EnableKeyInput{KeyId: aws.String(w.ids[name])})
		return outcomeOf(err)
	})
}

// outcomeOf is what an error of the AWS SDK says.
func outcomeOf(err error) outcome {
	if err == nil {
		return done
	}
	if refusal, ok := errors.AsType[smithy.APIError](err); ok && refusal.ErrorFault() == smithy.FaultClient {
		return refused
	}
	return unknown
}

func readKeys(ctx context.Context, w *writer, t *tenant) (map[string]string, error) {
	found := map[string]string{}
	pages := kms.NewListKeysPaginator(t.keys, &kms.ListKeysInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, key := range page.Keys {
			described, err := t.keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: key.KeyId})
			if err != nil {
				return nil, err
			}
			if name := aws.ToString(described.KeyMetadata.Description); strings.HasPrefix(name, w.kind) {
				w.ids[name], found[name] = *key.KeyId, string(described.KeyMetadata.KeyState)
			}
		}
	}
	return found, nil
}

// stepValues writes, overwrites and deletes values. A value in doubt may still be rolled back or forward by its
// cluster, so its key is left alone.
func stepValues(ctx context.Context, w *writer, t *tenant) outcome {
	value := strings.Repeat(fmt.Sprint(w.rand.Uint64(), " "), 1+w.rand.IntN(40))
	live := w.settled()
	if len(live) < 20 || w.rand.IntN(2) == 0 {
		name := w.next()
		return w.write(name, value, func() outcome { return t.value(ctx, http.MethodPut, name, value).outcome })
	}
	name := live[w.rand.IntN(len(live))]
	if w.rand.IntN(6) == 0 {
		return w.write(name, "", func() outcome { return t.value(ctx, http.MethodDelete, name, "").outcome })
	}
	return w.write(name, value, func() outcome { return t.value(ctx, http.MethodPut, name, value).outcome })
}

// sampled is how many values are read back of those that nobody has touched since they were looked at.
const sampled = 60

// readValues reads what was written since the last time, and some of the rest.
func readValues(ctx context.Context, w *writer, t *tenant) (map[string]string, error) {
	found := map[string]string{}
	var rest []string
	for name, th := range w.things {
		if th.fresh || len(th.maybe) > 0 {
			if err := w.fetch(ctx, t, name, found); err != nil {
				return nil, err
			}
			continue
		}
		rest = append(rest, name)
		found[name] = th.told
	}
	slices.Sort(rest)
	for range min(sampled, len(rest)) {
		if err := w.fetch(ctx, t, rest[w.rand.IntN(len(rest))], found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// fetch reads one value. It waits for its cluster, which may be recovering. Nodes that could not be told in time to
// start, since a busy machine took longer than a client waits, hear it with the next check, so that is asked for.
func (w *writer) fetch(ctx context.Context, t *tenant, name string, found map[string]string) error {
	checked := time.Now()
	for began := time.Now(); ; pause(ctx, 20*time.Millisecond) {
		if time.Since(checked) > 10*time.Second {
			t.validate(ctx)
			checked = time.Now()
		}
		a := t.value(ctx, http.MethodGet, name, "")
		switch {
		case a.status == http.StatusOK:
			found[name] = a.text
			return nil
		case a.status == http.StatusNotFound:
			delete(found, name)
			return nil
		case time.Since(began) > time.Minute || ctx.Err() != nil:
			return fmt.Errorf("the data can't be read: %d %s", a.status, a.text)
		}
	}
}
