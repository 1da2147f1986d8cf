package encryption_test

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/httpapi"
	"latchkey/shared/httpapi/hostiletest"
	"latchkey/shared/httpapi/openapitest"
	"latchkey/shared/store"
	"latchkey/shared/store/storetest"
)

var everyTwist = flag.Bool("every-twist", false, "make every twist of every body")

// Every part of every body is changed in every way, once while nothing is configured and once while all is. What
// is answered is as docs/openapi.yaml has it, never 500; what is refused has written nothing; and no
// secret is in an answer, in the log or in the table.
func TestEncryption_EveryTwistOfEveryBodyIsAnswered(t *testing.T) {
	inWorld(t, func(w *world) {
		base := storetest.NewMemory()
		w.table.Table = base
		w.found()
		w.restart()
		doc, err := openapitest.Load("../../../docs/openapi.yaml")
		w.must(err)
		x := &twisting{world: w, doc: doc}
		bodies := x.bodies()
		x.all(base, bodies)
		for _, r := range bodies[:3] {
			w.mustSend(r)
		}
		x.all(base, append(bodies, x.more()...))
		w.table.Table = base
	})
}

// twisting is a world of which every request meets a copy.
type twisting struct {
	*world
	doc  *openapitest.Description
	made int
}

// bodies enable a key at each provider, and do what comes before.
func (x *twisting) bodies() []request {
	aws := configure("awsKms", x.byAWSRole(x.awsKey()).with(members{"requirePrivateNetworking": false}))
	azure, _ := x.byAzureSecret(x.azureKey(""))
	google, _ := x.byGoogleKey(x.googleVersion())
	return []request{
		aws, configure("azureKeyVault", azure.with(members{"secretExpiresAt": "2099-01-01T00:00:00Z"})), configure("googleCloudKms", google),
		configure("awsKms", x.byAWSUser(x.awsKey())),
		{http.MethodPost, roles, `{"providerName":"AWS"}`},
		{http.MethodPost, roles, `{"providerName":"AZURE","atlasAzureAppId":"9efedfcc-2eca-4b27-a613-0cad1e114cb7","servicePrincipalId":"6f1b0000-0000-4000-8000-000000000009","tenantId":"6f1b0000-0000-4000-8000-000000000002"}`},
		{http.MethodPost, v2 + "/encryptionAtRest/AWS/privateEndpoints", `{"regionName":"US_EAST_1"}`},
		{http.MethodPost, clusters + "/A/backup/restoreJobs", `{"deliveryType":"automated","snapshotId":"650000000000000000000099","targetClusterName":"A","targetGroupId":"` + groupID + `","oplogTs":1,"oplogInc":1,"pointInTimeUTCSeconds":1}`},
	}
}

// more are worth it only once something is configured.
func (x *twisting) more() []request {
	id, _ := x.newAWSRole()
	return []request{
		{http.MethodPatch, roles + "/" + id, `{"providerName":"AWS","iamAssumedRoleArn":"arn:aws:iam::111122223333:role/nobody"}`},
		patch(`{"awsKms":{"enabled":true},"azureKeyVault":{"enabled":false},"googleCloudKms":{"keyVersionResourceID":"x"},"enabledForSearchNodes":true}`),
	}
}

// all makes twists of requests, each on a copy of a table.
func (x *twisting) all(base *storetest.Memory, requests []request) {
	x.t.Helper()
	const skip = 67 // a run takes every so many
	for _, r := range requests {
		for part := range hostiletest.Parts(r.body) {
			for way := range hostiletest.Twists() {
				if x.made++; x.made%skip == 0 || *everyTwist {
					x.attempt(base, request{r.method, r.path, hostiletest.Twist(r.body, part, way)})
				}
			}
		}
	}
	x.table.Table = base
}

func (x *twisting) attempt(base *storetest.Memory, r request) {
	x.t.Helper()
	time.Sleep(time.Second) // no limit of requests is meant
	table := base.Copy()
	x.table.Table = table
	req := func() *http.Request {
		req := httptest.NewRequestWithContext(x.t.Context(), r.method, r.path, strings.NewReader(r.body))
		req.Header.Set("Accept", "application/vnd.atlas.2024-11-13+json")
		return req.WithContext(httpapi.WithCaller(req.Context(), owner))
	}
	rec := httptest.NewRecorder()
	x.api.ServeHTTP(rec, req())
	short := fmt.Sprintf("%s %s with %.700q is answered %d %.700s", r.method, r.path, r.body, rec.Code, rec.Body)
	err := x.doc.Check(openapitest.Exchange{
		Request: req(), Sent: []byte(r.body), Status: rec.Code, Header: rec.Header(), Answer: rec.Body.Bytes(), Hostile: true,
	})
	if err != nil || rec.Code >= http.StatusInternalServerError {
		x.t.Errorf("%s: %.700v", short, err)
	}
	if rec.Code >= http.StatusBadRequest && !reflect.DeepEqual(written(base), written(table)) {
		x.t.Errorf("%s, and has written %s", short, cmp.Diff(written(base), written(table)))
	}
	x.seeNoSecretIn(short, rec.Body.String())
}

// written is what a table holds but events: that somebody was refused is one.
func written(m *storetest.Memory) map[store.Key]store.Item {
	items := m.Items()
	maps.DeleteFunc(items, func(k store.Key, _ store.Item) bool { return strings.HasPrefix(k.PK, "EVENTS#") })
	return items
}
