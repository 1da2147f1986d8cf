package googlecloud

import (
	"strconv"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
)

// number finds a version by the last segment of its name.
func (k *cryptoKey) number(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != id || n < 1 || n > int64(len(k.Versions)) {
		return 0, notFound("CryptoKeyVersion " + k.Name + "/cryptoKeyVersions/" + id + " not found.")
	}
	return n, nil
}

// version loads the version that a path names.
func (c *Cloud) version(req *request) (cryptoKey, int64, error) {
	k, err := c.key(req.resource, req.now)
	if err != nil {
		return k, 0, err
	}
	n, err := k.number(req.vars[4])
	return k, n, err
}

// notEnabled is how Cloud KMS refuses to use a version: the type of the violation is the
// state, "KEY_DISABLED" or "KEY_DESTROY_SCHEDULED".
func (k *cryptoKey) notEnabled(n int64) *status {
	name, s := k.versionName(n), k.Versions[n-1].State.String()
	return failedPrecondition(name+" is not enabled, current state is: "+s+".", precondition(violation{Type: "KEY_" + s, Subject: name}))
}

// cannot is how it refuses a transition between states.
func (k *cryptoKey) cannot(do string, n int64) *status {
	name, s := k.versionName(n), k.Versions[n-1].State.String()
	return failedPrecondition(name+" cannot be "+do+", current state is: "+s+".", precondition(violation{Type: "KEY_" + s, Subject: name}))
}

func (k *cryptoKey) wrongPurpose() *status {
	return invalidArgument(k.Name + " has purpose " + k.Purpose.String() + ", want ENCRYPT_DECRYPT.")
}

func (c *Cloud) createVersion(req *request) (any, error) {
	if err := readMessage(req, &kmspb.CryptoKeyVersion{}); err != nil {
		return nil, err
	}
	k, err := c.key(req.resource, req.now)
	if err != nil {
		return nil, err
	}
	primary := k.Primary
	n := k.add(req.now)
	k.Primary = primary // a new version never becomes primary on its own
	return k.wireVersion(n), c.saveKey(k)
}

func (c *Cloud) listVersions(req *request) (any, error) {
	k, err := c.key(req.resource, req.now)
	if err != nil {
		return nil, err
	}
	out := &kmspb.ListCryptoKeyVersionsResponse{TotalSize: int32(len(k.Versions))} //nolint:gosec // never that many
	for i := range k.Versions {
		out.CryptoKeyVersions = append(out.CryptoKeyVersions, k.wireVersion(int64(i+1)))
	}
	return out, nil
}

func (c *Cloud) getVersion(req *request) (any, error) {
	k, n, err := c.version(req)
	if err != nil {
		return nil, err
	}
	return k.wireVersion(n), nil
}

// updateVersion enables and disables a version. With the control header an administrator puts
// it into, and takes it out of, the states that the service passes through on its own.
func (c *Cloud) updateVersion(req *request) (any, error) {
	in := &kmspb.CryptoKeyVersion{}
	if err := readMessage(req, in); err != nil {
		return nil, err
	}
	if mask := updateMask(req); len(mask) != 1 || mask[0] != "state" {
		return nil, invalidArgument("update_mask must be: state.")
	}
	k, n, err := c.version(req)
	if err != nil {
		return nil, err
	}
	v := &k.Versions[n-1]
	controlled := req.caller.Member == Administrator && req.Header.Get(ControlHeader) == "state"
	allowed := func(s state) bool { return switchable(s) || controlled && passing(s) }
	if !allowed(in.GetState()) {
		return nil, invalidArgument("The state of a CryptoKeyVersion can be updated to ENABLED and DISABLED only.")
	}
	if !allowed(v.State) {
		return nil, k.cannot("updated", n)
	}
	v.State = in.GetState()
	return k.wireVersion(n), c.saveKey(k)
}

func switchable(s state) bool {
	return s == kmspb.CryptoKeyVersion_ENABLED || s == kmspb.CryptoKeyVersion_DISABLED
}

// passing reports whether a version comes into a state and leaves it without its owner's doing.
func passing(s state) bool {
	return s != 0 && !switchable(s) && s != kmspb.CryptoKeyVersion_DESTROY_SCHEDULED && s != kmspb.CryptoKeyVersion_DESTROYED
}

// destroyVersion schedules the destruction; the clock does the rest.
func (c *Cloud) destroyVersion(req *request) (any, error) {
	k, n, err := c.version(req)
	if err != nil {
		return nil, err
	}
	v := &k.Versions[n-1]
	if !switchable(v.State) {
		return nil, k.cannot("destroyed", n)
	}
	v.State, v.Destroy = kmspb.CryptoKeyVersion_DESTROY_SCHEDULED, req.now.Add(k.DestroyAfter)
	return k.wireVersion(n), c.saveKey(k)
}

// restoreVersion takes a version back from its scheduled destruction; it is disabled then.
func (c *Cloud) restoreVersion(req *request) (any, error) {
	k, n, err := c.version(req)
	if err != nil {
		return nil, err
	}
	v := &k.Versions[n-1]
	if v.State != kmspb.CryptoKeyVersion_DESTROY_SCHEDULED {
		return nil, k.cannot("restored", n)
	}
	v.State, v.Destroy = kmspb.CryptoKeyVersion_DISABLED, time.Time{}
	return k.wireVersion(n), c.saveKey(k)
}
