package awscloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/policy"
)

// kmsService is KMS in every region.
type kmsService struct{ *Cloud }

// Serves reports whether host is KMS's.
func (kmsService) Serves(host string) bool { return serves(host, "kms") }

// Operation is what X-Amz-Target names.
func (kmsService) Operation(c *pocket.Call) string {
	operation, _ := strings.CutPrefix(c.Header.Get("X-Amz-Target"), "TrentService.")
	return operation
}

// Serve answers the request.
func (s kmsService) Serve(w http.ResponseWriter, c *pocket.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuseUnresolved(c.Host)
	result, err := s.perform(c)
	if err != nil {
		writeJSONFailure(w, asFailure(err, "KMSInternalException"))
		return
	}
	writeJSON(w, http.StatusOK, result)
}

// Refuse answers as KMS does when it denies, throttles or fails.
func (s kmsService) Refuse(w http.ResponseWriter, c *pocket.Call, kind pocket.FaultKind) {
	switch kind {
	case pocket.Throttle:
		writeJSONFailure(w, fail("ThrottlingException", "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."))
	case pocket.ServerError:
		writeJSONFailure(w, failWith(http.StatusInternalServerError, "KMSInternalException", "An internal error occurred."))
	default:
		writeJSONFailure(w, fail("AccessDeniedException", "%s", s.faultMessage(c, kind, "kms:"+s.Operation(c))))
	}
}

func (s kmsService) perform(call *pocket.Call) (any, error) {
	e, _ := parseHost(call.Host)
	who, refused, err := s.authenticate(call, e)
	if err != nil {
		return nil, err
	}
	if refused != nil {
		return nil, refused.json
	}
	name := s.Operation(call)
	operation, ok := kmsOperations[name]
	if !ok {
		return nil, fail("UnknownOperationException", "%s", name)
	}
	k := &kmsCall{
		Cloud: s.Cloud, action: "kms:" + name, region: string(e.region), who: who, now: s.cfg.Now(), context: s.requestContext(call, e, who),
	}
	k.context["kms:calleraccount"] = []string{who.name.Account}
	return operation(k, call.Body)
}

// kmsCall is one authenticated request to KMS.
type kmsCall struct {
	*Cloud
	action  string // "kms:Decrypt"
	region  string
	who     caller
	now     time.Time
	context map[string][]string // condition keys
}

// kmsOperation performs one operation on a request's body.
type kmsOperation func(k *kmsCall, body []byte) (any, error)

// on decodes the body for an operation.
func on[In any](perform func(*kmsCall, In) (any, error)) kmsOperation {
	return func(k *kmsCall, body []byte) (any, error) {
		var in In
		if len(body) > 0 {
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, fail("SerializationException", "%v", err)
			}
		}
		return perform(k, in)
	}
}

// onKey decodes the body for an operation on one key of the caller's own account, which it
// names by id or ARN, and checks that the caller may perform it.
func onKey[In keyed](perform func(*kmsCall, *key, In) (any, error)) kmsOperation {
	return on(func(k *kmsCall, in In) (any, error) {
		found, err := k.ownKey(in.keyID())
		if err != nil {
			return nil, err
		}
		return perform(k, found, in)
	})
}

// keyed is a request that names a key.
type keyed interface{ keyID() string }

// keyIn is the request of an operation that needs nothing but a key.
type keyIn struct{ KeyId string } //nolint:revive // AWS's spelling

func (in keyIn) keyID() string { return in.KeyId }

var kmsOperations = map[string]kmsOperation{
	"CreateKey":                       on((*kmsCall).createKey),
	"DescribeKey":                     on((*kmsCall).describeKey),
	"ListKeys":                        on((*kmsCall).listKeys),
	"ListResourceTags":                onKey((*kmsCall).listResourceTags),
	"EnableKey":                       onKey((*kmsCall).enableKey),
	"DisableKey":                      onKey((*kmsCall).disableKey),
	"ScheduleKeyDeletion":             onKey((*kmsCall).scheduleKeyDeletion),
	"CancelKeyDeletion":               onKey((*kmsCall).cancelKeyDeletion),
	"GetKeyPolicy":                    onKey((*kmsCall).getKeyPolicy),
	"PutKeyPolicy":                    onKey((*kmsCall).putKeyPolicy),
	"ListKeyPolicies":                 onKey((*kmsCall).listKeyPolicies),
	"CreateAlias":                     on((*kmsCall).createAlias),
	"UpdateAlias":                     on((*kmsCall).updateAlias),
	"DeleteAlias":                     on((*kmsCall).deleteAlias),
	"ListAliases":                     on((*kmsCall).listAliases),
	"ReplicateKey":                    onKey((*kmsCall).replicateKey),
	"UpdatePrimaryRegion":             onKey((*kmsCall).updatePrimaryRegion),
	"RotateKeyOnDemand":               onKey((*kmsCall).rotateKeyOnDemand),
	"ListKeyRotations":                onKey((*kmsCall).listKeyRotations),
	"EnableKeyRotation":               onKey((*kmsCall).enableKeyRotation),
	"DisableKeyRotation":              onKey((*kmsCall).disableKeyRotation),
	"GetKeyRotationStatus":            on((*kmsCall).getKeyRotationStatus),
	"Encrypt":                         on((*kmsCall).encrypt),
	"Decrypt":                         on((*kmsCall).decrypt),
	"ReEncrypt":                       on((*kmsCall).reEncrypt),
	"GenerateDataKey":                 on((*kmsCall).generateDataKey),
	"GenerateDataKeyWithoutPlaintext": on((*kmsCall).generateDataKeyWithoutPlaintext),
}

// allowKey checks that the caller may perform action on a key.
func (k *kmsCall) allowKey(found *key, action string) error {
	text, ok := found.Policy.at(k.now)
	if !ok {
		text, _ = found.Policy.latest() // a key is never without its first policy
	}
	doc, err := policy.Parse(text, policy.Key)
	if err != nil {
		return err
	}
	r := policy.Request{Caller: k.who.name, Action: action, Resource: found.arn(), Context: k.context}
	why := k.who.judge(r, doc, found.Account)
	if why == "" {
		return nil
	}
	if found.Account != k.who.name.Account && !doc.Decide(r).Allowed() {
		return k.absent(action)
	}
	return fail("AccessDeniedException", "%s", k.who.unauthorized(action, found.arn(), why))
}

// absent is how KMS refuses another account's key without telling whether it exists.
func (k *kmsCall) absent(action string) error {
	return fail("AccessDeniedException", "User: %s is not authorized to perform: %s on this resource because the resource does not exist "+
		"in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access", k.who.arn(), action)
}

// allowAny checks that the caller's own policies allow an operation that is not on a key.
func (k *kmsCall) allowAny(resource string) error {
	r := policy.Request{Caller: k.who.name, Action: k.action, Resource: resource, Context: k.context}
	if why := k.who.judgeIdentity(r); why != "" {
		return fail("AccessDeniedException", "%s", k.who.unauthorized(k.action, resource, why))
	}
	return nil
}

// invalidValue is KMS's answer to a member outside its constraint.
func invalidValue(format string, args ...any) error {
	return fail("ValidationException", "1 validation error detected: %s", fmt.Sprintf(format, args...))
}

// epoch is how KMS writes instants: seconds since 1970.
func epoch(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	s := float64(t.UnixMilli()) / 1000
	return &s
}

// page cuts a list that is sorted by id at a request's Marker and Limit.
func page[T any](all []T, id func(T) string, marker string, limit *int) (part []T, next string) {
	start := 0
	if marker != "" {
		start = slices.IndexFunc(all, func(v T) bool { return id(v) > marker })
		if start < 0 {
			start = len(all)
		}
	}
	n := 100
	if limit != nil && *limit > 0 {
		n = *limit
	}
	end := min(start+n, len(all))
	if end < len(all) {
		next = id(all[end-1])
	}
	return all[start:end], next
}
