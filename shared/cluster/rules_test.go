package cluster_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestBadRequestsAreRefusedAndWriteNothing(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	w.create("kept", `"terminationProtectionEnabled":true,`)
	w.create("asleep", "")
	w.must(http.MethodPatch, "/clusters/asleep", `{"paused":true}`)
	w.work("asleep")
	w.create("going", "")
	w.must(http.MethodDelete, "/clusters/going", "")
	w.create("busy", "")
	w.must(http.MethodPatch, "/clusters/busy", `{"mongoDBMajorVersion":"8.2"}`)
	with := func(from, to string) string { return strings.Replace(body("c2", ""), from, to, 1) }
	region := func(provider, name, size string, nodes, priority string) string {
		return `{"providerName":"` + provider + `","regionName":"` + name + `","priority":` + priority + `,"electableSpecs":{"instanceSize":"` + size + `","nodeCount":` + nodes + `}}`
	}
	regions := func(r ...string) string {
		return `{"name":"c2","clusterType":"REPLICASET","replicationSpecs":[{"regionConfigs":[` + strings.Join(r, ",") + `]}]}`
	}
	places := []string{region("AWS", "US_EAST_1", "M10", "3", "7")}
	for _, name := range []string{"US_EAST_2", "US_WEST_1", "US_WEST_2", "EU_WEST_1", "EU_WEST_2", "EU_WEST_3"} {
		places = append(places, `{"providerName":"AWS","regionName":"`+name+`","priority":0,"readOnlySpecs":{"instanceSize":"M10","nodeCount":1}}`)
	}
	wide := `{"regionConfigs":[` + strings.Join(places, ",") + `]}`
	const post, patch = http.MethodPost, http.MethodPatch
	before := w.events()
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"no name":                {post, "", `{"clusterType":"REPLICASET","replicationSpecs":[` + spec(3) + `]}`, 400, "MISSING_ATTRIBUTE"},
		"no type":                {post, "", `{"name":"c2","replicationSpecs":[` + spec(3) + `]}`, 400, "MISSING_ATTRIBUTE"},
		"no shards":              {post, "", `{"name":"c2","clusterType":"REPLICASET"}`, 400, "MISSING_ATTRIBUTE"},
		"an empty list":          {post, "", `{"name":"c2","clusterType":"REPLICASET","replicationSpecs":[]}`, 400, "MISSING_ATTRIBUTE"},
		"no regions":             {post, "", `{"name":"c2","clusterType":"REPLICASET","replicationSpecs":[{}]}`, 400, "MISSING_ATTRIBUTE"},
		"no JSON":                {post, "", `{`, 400, "MALFORMED_JSON"},
		"a name of another kind": {post, "", `{"name":7}`, 400, "INVALID_JSON_ATTRIBUTE"},
		"a bad name":             {post, "", body("-c", ""), 400, "CLUSTER_NAME_INVALID"},
		"a hostile name":         {post, "", body("c/../#", ""), 400, "CLUSTER_NAME_INVALID"},
		"a long name":            {post, "", body(strings.Repeat("c", 65), ""), 400, "CLUSTER_NAME_INVALID"},
		"a taken name":           {post, "", body("c1", ""), 400, "DUPLICATE_CLUSTER_NAME"},
		"born paused":            {post, "", body("c2", `"paused":true,`), 400, "CANNOT_CREATE_PAUSED_CLUSTER"},
		"an unknown type":        {post, "", with("REPLICASET", "RING"), 400, "INVALID_ENUM_VALUE"},
		"an unknown region":      {post, "", with("US_EAST_1", "US_EAST_9"), 400, "INVALID_REGION"},
		"a region in lower case": {post, "", with("US_EAST_1", "us_east_1"), 400, "INVALID_REGION"},
		"another cloud's region": {post, "", regions(region("AZURE", "US_EAST_1", "M10", "3", "7")), 400, "INVALID_REGION"},
		"an unknown cloud":       {post, "", with(`"AWS"`, `"IBM"`), 400, "INVALID_PROVIDER"},
		"an unknown size":        {post, "", with("M10", "M11"), 400, "INVALID_ENUM_VALUE"},
		"two nodes":              {post, "", with(`"nodeCount":3`, `"nodeCount":2`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"fewer than no nodes":    {post, "", with(`"nodeCount":3`, `"nodeCount":-3`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"very many nodes":        {post, "", with(`"nodeCount":3`, `"nodeCount":3000000`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"a low priority":         {post, "", with(`"priority":7`, `"priority":6`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"two regions alike":      {post, "", regions(region("AWS", "US_EAST_1", "M10", "3", "7"), region("AWS", "US_EAST_1", "M10", "2", "6")), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"two first regions":      {post, "", regions(region("AWS", "US_EAST_1", "M10", "3", "7"), region("AWS", "US_EAST_2", "M10", "2", "7")), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"a region of no voice":   {post, "", regions(region("AWS", "US_EAST_1", "M10", "3", "7"), region("AWS", "US_EAST_2", "M10", "0", "6")), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"two shards, one set":    {post, "", `{"name":"c2","clusterType":"REPLICASET","replicationSpecs":[` + spec(3) + `,` + spec(3) + `]}`, 400, "INVALID_CLUSTER_CONFIGURATION"},
		"a region for nothing":   {post, "", regions(region("AWS", "US_EAST_1", "M10", "3", "7"), region("AWS", "US_EAST_2", "M10", "0", "0")), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"too much to store":      {post, "", `{"name":"c2","clusterType":"SHARDED","replicationSpecs":[` + strings.Repeat(wide+",", 69) + wide + `]}`, 400, "INVALID_CLUSTER_CONFIGURATION"},
		"too many shards":        {post, "", `{"name":"c2","clusterType":"SHARDED","replicationSpecs":[` + strings.Repeat(spec(3)+",", 70) + spec(3) + `]}`, 400, "INVALID_CLUSTER_CONFIGURATION"},
		"two disk sizes":         {post, "", regions(strings.Replace(region("AWS", "US_EAST_1", "M10", "3", "7"), "{", `{"readOnlySpecs":{"instanceSize":"M10","nodeCount":1,"diskSizeGB":40},`, 1), strings.Replace(region("AWS", "US_EAST_2", "M10", "2", "6"), `"nodeCount"`, `"diskSizeGB":50,"nodeCount"`, 1)), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"a huge disk":            {post, "", with(`"nodeCount":3`, `"nodeCount":3,"diskSizeGB":1e9`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"an overstretched disk":  {post, "", with(`"nodeCount":3`, `"nodeCount":3,"diskIOPS":9000`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"an unknown volume":      {post, "", with(`"nodeCount":3`, `"nodeCount":3,"ebsVolumeType":"TAPE"`), 400, "INVALID_ENUM_VALUE"},
		"scaling without end":    {post, "", with(`"priority":7`, `"priority":7,"autoScaling":{"compute":{"enabled":true}}`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"an unknown release":     {post, "", body("c2", `"mongoDBMajorVersion":"3.6",`), 400, "INVALID_ATTRIBUTE"},
		"two ways to a release":  {post, "", body("c2", `"mongoDBMajorVersion":"7.0","versionReleaseSystem":"CONTINUOUS",`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"PIT without backup":     {post, "", body("c2", `"pitEnabled":true,`), 400, "INVALID_CLUSTER_CONFIGURATION"},
		"an empty tag":           {post, "", body("c2", `"tags":[{"key":"","value":"v"}],`), 400, "INVALID_ATTRIBUTE"},
		"a tag twice":            {post, "", body("c2", `"tags":[{"key":"k","value":"v"},{"key":"k","value":"w"}],`), 400, "INVALID_ATTRIBUTE"},
		"an odd preference":      {post, "", body("c2", `"biConnector":{"readPreference":"nearest"},`), 400, "INVALID_ENUM_VALUE"},
		"old TLS":                {post, "", body("c2", `"advancedConfiguration":{"minimumEnabledTlsProtocol":"SSL3"},`), 400, "INVALID_ENUM_VALUE"},
		"no such cluster":        {patch, "/none", `{}`, 404, "CLUSTER_NOT_FOUND"},
		"another name":           {patch, "/c1", `{"name":"c9"}`, 400, "CLUSTER_CANNOT_CHANGE_NAME"},
		"an older release":       {patch, "/c1", `{"mongoDBMajorVersion":"7.0"}`, 400, "INVALID_CLUSTER_CONFIGURATION"},
		"another type":           {patch, "/c1", `{"clusterType":"GEOSHARDED"}`, 400, "INVALID_CLUSTER_CONFIGURATION"},
		"pause and update":       {patch, "/c1", `{"paused":true,"replicationSpecs":[` + spec(5) + `]}`, 409, "CANNOT_UPDATE_AND_PAUSE_CLUSTER"},
		"pause during a plan":    {patch, "/busy", `{"paused":true}`, 409, "CANNOT_PAUSE_CLUSTER_WITH_PENDING_CHANGES"},
		"update while paused":    {patch, "/asleep", `{"tags":[{"key":"k","value":"v"}]}`, 409, "CANNOT_UPDATE_PAUSED_CLUSTER"},
		"update and resume":      {patch, "/asleep", `{"paused":false,"backupEnabled":true}`, 409, "CANNOT_UPDATE_PAUSED_CLUSTER"},
		"pause twice":            {patch, "/asleep", `{"paused":true}`, 409, "CLUSTER_ALREADY_PAUSED"},
		"arguments while paused": {patch, "/asleep/processArgs", `{"noTableScan":true}`, 409, "CANNOT_UPDATE_PAUSED_CLUSTER"},
		"odd arguments":          {patch, "/c1/processArgs", `{"changeStreamOptionsPreAndPostImagesExpireAfterSeconds":-2}`, 400, "INVALID_ATTRIBUTE"},
		"an unknown cipher":      {patch, "/c1/processArgs", `{"tlsCipherConfigMode":"CUSTOM","customOpensslCipherConfigTls12":["ROT13"]}`, 400, "INVALID_ENUM_VALUE"},
		"a stray cipher":         {patch, "/c1/processArgs", `{"customOpensslCipherConfigTls13":["TLS_AES_128_GCM_SHA256"]}`, 400, "INVALID_ATTRIBUTE"},
		"update while going":     {patch, "/going", `{"backupEnabled":true}`, 400, "CLUSTER_ALREADY_REQUESTED_DELETION"},
		"arguments while going":  {patch, "/going/processArgs", `{"noTableScan":true}`, 400, "CLUSTER_ALREADY_REQUESTED_DELETION"},
		"delete twice":           {http.MethodDelete, "/going", "", 400, "CLUSTER_ALREADY_REQUESTED_DELETION"},
		"delete what is kept":    {http.MethodDelete, "/kept", "", 400, "CANNOT_TERMINATE_CLUSTER_WHEN_TERMINATION_PROTECTION_ENABLED"},
		"delete nothing":         {http.MethodDelete, "/none", "", 404, "CLUSTER_NOT_FOUND"},
		"an odd retention":       {http.MethodDelete, "/c1?retainBackups=maybe", "", 400, "INVALID_QUERY_PARAMETER"},
		"an odd filter":          {http.MethodGet, "?includeDeletedWithRetainedBackups=maybe", "", 400, "INVALID_QUERY_PARAMETER"},
	} {
		t.Run(name, func(t *testing.T) { w.fail(c.method, "/clusters"+c.path, c.body, c.status, c.code) })
	}
	if after := w.events(); len(after) != len(before) {
		t.Errorf("events before %v and after %v", before, after)
	}
}

// Clients send back whole documents, also those of paused clusters.
func TestADocumentThatIsSentBackChangesNothing(t *testing.T) {
	for _, version := range []string{"2023-02-01", "2024-08-05", "2024-10-23"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			w.create("c1", `"encryptionAtRestProvider":"AWS","tags":[{"key":"k","value":"v"}],"biConnector":{"enabled":true,"readPreference":"SECONDARY"},`)
			before := w.load("c1")
			w.version = version
			document, _ := w.raw(http.MethodGet, "/api/atlas/v2/groups/"+w.group+"/clusters/c1", "")
			w.must(http.MethodPatch, "/clusters/c1", string(document))
			if after := w.load("c1"); after.Version() != before.Version() {
				t.Errorf("the record was written; the cluster is %s", after.State())
			}
		})
	}
}

func TestSettingsTakeEffectAtOnce(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	answer := w.must(http.MethodPatch, "/clusters/c1", `{"backupEnabled":true,"terminationProtectionEnabled":true,"tags":[{"key":"k","value":"v"}],
		"mongoDBEmployeeAccessGrant":{"grantType":"CLUSTER_DATABASE_LOGS","expirationTime":"2026-06-01T00:00:00Z"},"valid":true,"connectionStrings":{},"unknown":null}`)
	if answer["backupEnabled"] != true || answer["terminationProtectionEnabled"] != true || answer["stateName"] != "IDLE" {
		t.Errorf("the answer is %v", answer)
	}
	if again := w.must(http.MethodGet, "/clusters/c1", ""); again["mongoDBEmployeeAccessGrant"] == nil {
		t.Errorf("the grant was not kept: %v", again)
	}
}

func TestDeleteKeepsBackupsAsItIsTold(t *testing.T) {
	w := newWorld(t)
	w.create("c1", `"backupEnabled":true,`)
	w.must(http.MethodDelete, "/clusters/c1?retainBackups=true", "")
	if !w.load("c1").Settings.RetainBackups {
		t.Error("retainBackups was lost")
	}
}
