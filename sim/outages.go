package sim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/local/pocket"
)

// service is something of a cloud's that Latchkey has to reach. path tells locations apart that have one host.
type service struct{ host, path string }

// Those who issue tokens. Latchkey asks the STS of its own region alone.
const (
	stsHost       = "sts." + awsRegion + ".amazonaws.com"
	entraHost     = "login.microsoftonline.com"
	googleIssuer  = "oauth2.googleapis.com"
	googleAccount = "iamcredentials.googleapis.com" // impersonates service accounts
)

// outage is that a part of a cloud answers nobody as it should: neither Latchkey nor tenants.
type outage struct {
	what, of string // "a region", its name
	counted  string // as what; there are many vaults
	kind     pocket.FaultKind
	services []service
}

// faults are what the clouds are told of it.
func (o *outage) faults() (all []pocket.Fault) {
	for _, s := range o.services {
		all = append(all, pocket.Fault{Host: s.host, Path: s.path, Kind: o.kind})
	}
	return all
}

// The ways in which services fail. A refusal of our address is another one, which a KMS has.
var failures = []pocket.FaultKind{pocket.Down, pocket.Timeout, pocket.ServerError, pocket.Throttle}

// fails are the kinds of an outage.
func fails(what string, in []pocket.FaultKind) (kinds []string) {
	for _, kind := range in {
		kinds = append(kinds, what+" fails: "+string(kind))
	}
	return kinds
}

// outagesOf are those who fail, as they are counted.
var outagesOf = []string{"a KMS", stsHost, entraHost, googleIssuer, googleAccount, "a region of AWS", "a region of AZURE", "a region of GCP"}

// kmsOutage is that a tenant's KMS fails, or refuses our address, whichever way it is reached.
func (w *World) kmsOutage() (string, func()) {
	kinds := append(slices.Clone(failures), pocket.Firewall)
	of, _ := w.someCustody().services()
	for i := range of {
		of[i].path = ""
	}
	return w.breaks(&outage{what: "a KMS", of: of[0].host, counted: "a KMS", kind: kinds[w.rng.IntN(len(kinds))], services: of})
}

// tokenOutage is that those fail who issue the tokens that a key is used with, and nothing else.
func (w *World) tokenOutage() (string, func()) {
	_, issuers := w.someCustody().services()
	if len(issuers) == 0 {
		return "", nil
	}
	i := issuers[max(w.rng.IntN(len(issuers)), w.rng.IntN(len(issuers)))] // rather the last, which fewer keys need
	return w.breaks(&outage{what: "a token service", of: i.host, counted: i.host, kind: w.someFailure(), services: []service{i}})
}

// regionOutage is that a whole region fails: at AWS all of its services, at Azure the vaults and what manages private
// endpoints, at Google the keys of a location.
func (w *World) regionOutage() (string, func()) {
	k := w.someCustody()
	regions := k.regions()
	of := regions[w.rng.IntN(len(regions))]
	return w.breaks(&outage{what: "a region", of: of.name, counted: "a region of " + k.provider(), kind: w.someFailure(), services: of.services})
}

// region is one of a cloud's.
type region struct {
	name     string
	services []service
}

func (w *World) someFailure() pocket.FaultKind { return failures[w.rng.IntN(len(failures))] }

func (w *World) someCustody() *custody {
	all := slices.Collect(w.custodies())
	return all[w.rng.IntN(len(all))]
}

// breaks begins an outage, unless there is one of the same already.
func (w *World) breaks(o *outage) (string, func()) {
	if slices.ContainsFunc(w.outages, func(other *outage) bool { return other.of == o.of }) {
		return "", nil
	}
	w.outages = append(w.outages, o)
	w.fault(o.faults()...)
	w.trace.say("%s, %s, fails", o.what, o.of)
	w.faults.count["outage: "+o.counted]++
	return o.what + " fails: " + string(o.kind), func() { w.mends(o) }
}

// mends ends an outage.
func (w *World) mends(o *outage) {
	var hit []*custody
	for k := range w.custodies() {
		if o.hits(k) {
			hit = append(hit, k)
		}
	}
	w.outages = slices.DeleteFunc(w.outages, func(other *outage) bool { return other == o })
	w.cloudFaults(http.MethodDelete, "")
	for _, other := range w.outages {
		w.fault(other.faults()...)
	}
	for _, k := range hit {
		if !w.isOut(k) {
			k.back = time.Now()
		}
	}
}

// hits is whether the outage keeps Latchkey from using a key.
func (o *outage) hits(k *custody) bool {
	var in pocket.Faults
	for _, f := range o.faults() {
		in.Set(f)
	}
	kms, tokens := k.services()
	return slices.ContainsFunc(append(kms, tokens...), func(s service) bool {
		_, met := in.Take(s.host, "", s.path)
		return met
	})
}

// isOut is whether any outage does.
func (w *World) isOut(k *custody) bool {
	return slices.ContainsFunc(w.outages, func(o *outage) bool { return o.hits(k) })
}

// fault has parts of the clouds fail.
func (w *World) fault(faults ...pocket.Fault) {
	for _, f := range faults {
		body, err := json.Marshal(f)
		if err != nil {
			w.fail(err)
			return
		}
		w.cloudFaults(http.MethodPost, string(body))
	}
}

func (w *World) cloudFaults(method, body string) {
	r, err := http.NewRequestWithContext(w.ctx, method, "http://127.0.0.1/_pocket/faults", strings.NewReader(body))
	if err != nil {
		w.fail(err)
		return
	}
	resp, err := w.inside.RoundTrip(r)
	if err != nil || resp.StatusCode >= http.StatusBadRequest {
		w.failf("faults of the clouds: %v %v", resp, err)
		return
	}
	resp.Body.Close() //nolint:errcheck // not read
}
