package googlecloud

import (
	"crypto/rand"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// The states and purposes under the names that the API uses.
type (
	state     = kmspb.CryptoKeyVersion_CryptoKeyVersionState
	algorithm = kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm
	purpose   = kmspb.CryptoKey_CryptoKeyPurpose
)

// keyRing is a key ring.
type keyRing struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

// cryptoKey is a key with its versions.
type cryptoKey struct {
	Name         string                `json:"name"`
	ID           []byte                `json:"id"` // random; ciphertexts carry it
	Created      time.Time             `json:"created"`
	Purpose      purpose               `json:"purpose"`
	Algorithm    algorithm             `json:"algorithm"` // of new versions
	Protection   kmspb.ProtectionLevel `json:"protection"`
	Labels       map[string]string     `json:"labels,omitempty"`
	Primary      int64                 `json:"primary,omitempty"`
	Rotation     time.Duration         `json:"rotation,omitempty"`
	NextRotation time.Time             `json:"nextRotation,omitzero"`
	DestroyAfter time.Duration         `json:"destroyAfter"`
	Versions     []keyVersion          `json:"versions,omitempty"` // version n at n-1
}

// keyVersion is one version of a key.
type keyVersion struct {
	State     state     `json:"state"`
	Created   time.Time `json:"created"`
	Destroy   time.Time `json:"destroy,omitzero"`   // when it will be destroyed
	Destroyed time.Time `json:"destroyed,omitzero"` // when it was
	Material  []byte    `json:"material,omitempty"` // AES-256; empty once destroyed and for other algorithms
}

// The rules of Cloud KMS for times.
const (
	defaultDestroyAfter = 30 * 24 * time.Hour
	minDestroyAfter     = 24 * time.Hour
	maxDestroyAfter     = 120 * 24 * time.Hour
	minRotation         = 24 * time.Hour
)

// defaultAlgorithms are the algorithms of keys made without a template; a purpose that is
// missing needs a template.
var defaultAlgorithms = map[purpose]algorithm{
	kmspb.CryptoKey_ENCRYPT_DECRYPT: kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION,
}

var resourceIDForm = regexp.MustCompile(`\A[a-zA-Z0-9_-]{1,63}\z`)

func (r keyRing) wire() *kmspb.KeyRing {
	return &kmspb.KeyRing{Name: r.Name, CreateTime: timestamppb.New(r.Created)}
}

func (k *cryptoKey) wire() *kmspb.CryptoKey {
	out := &kmspb.CryptoKey{
		Name: k.Name, CreateTime: timestamppb.New(k.Created), Purpose: k.Purpose, Labels: k.Labels,
		VersionTemplate:          &kmspb.CryptoKeyVersionTemplate{Algorithm: k.Algorithm, ProtectionLevel: k.Protection},
		DestroyScheduledDuration: durationpb.New(k.DestroyAfter),
	}
	if k.Primary > 0 {
		out.Primary = k.wireVersion(k.Primary)
	}
	if k.Rotation > 0 {
		out.RotationSchedule = &kmspb.CryptoKey_RotationPeriod{RotationPeriod: durationpb.New(k.Rotation)}
	}
	if !k.NextRotation.IsZero() {
		out.NextRotationTime = timestamppb.New(k.NextRotation)
	}
	return out
}

func (k *cryptoKey) versionName(n int64) string {
	return k.Name + "/cryptoKeyVersions/" + strconv.FormatInt(n, 10)
}

func (k *cryptoKey) wireVersion(n int64) *kmspb.CryptoKeyVersion {
	v := k.Versions[n-1]
	out := &kmspb.CryptoKeyVersion{
		Name: k.versionName(n), State: v.State, Algorithm: k.Algorithm, ProtectionLevel: k.Protection,
		CreateTime: timestamppb.New(v.Created),
	}
	if v.State != kmspb.CryptoKeyVersion_PENDING_GENERATION && v.State != kmspb.CryptoKeyVersion_PENDING_IMPORT {
		out.GenerateTime = timestamppb.New(v.Created)
	}
	if !v.Destroy.IsZero() {
		out.DestroyTime = timestamppb.New(v.Destroy)
	}
	if !v.Destroyed.IsZero() {
		out.DestroyEventTime = timestamppb.New(v.Destroyed)
	}
	return out
}

// add makes a new version, and makes it primary if the key has none.
func (k *cryptoKey) add(at time.Time) int64 {
	v := keyVersion{State: kmspb.CryptoKeyVersion_ENABLED, Created: at}
	if k.Purpose == kmspb.CryptoKey_ENCRYPT_DECRYPT {
		v.Material = make([]byte, 32)
		rand.Read(v.Material) // never fails since Go 1.24
	}
	k.Versions = append(k.Versions, v)
	n := int64(len(k.Versions))
	if k.Primary == 0 && k.Purpose == kmspb.CryptoKey_ENCRYPT_DECRYPT {
		k.Primary = n
	}
	return n
}

// settle does what the clock has done since the key was last read: rotations that were due
// and versions whose time to be destroyed has come. It reports whether anything happened.
func (k *cryptoKey) settle(now time.Time) (changed bool) {
	for k.Rotation > 0 && !k.NextRotation.IsZero() && !now.Before(k.NextRotation) {
		k.Primary = k.add(k.NextRotation)
		k.NextRotation = k.NextRotation.Add(k.Rotation)
		changed = true
	}
	if k.Rotation == 0 && !k.NextRotation.IsZero() && !now.Before(k.NextRotation) {
		k.Primary, k.NextRotation, changed = k.add(k.NextRotation), time.Time{}, true
	}
	for i := range k.Versions {
		v := &k.Versions[i]
		if v.State == kmspb.CryptoKeyVersion_DESTROY_SCHEDULED && !now.Before(v.Destroy) {
			v.State, v.Destroyed, v.Destroy, v.Material = kmspb.CryptoKeyVersion_DESTROYED, v.Destroy, time.Time{}, nil
			changed = true
		}
	}
	return changed
}

// key loads the key that a path names.
func (c *Cloud) key(name string, now time.Time) (cryptoKey, error) {
	var k cryptoKey
	found, err := c.docs.Get(kindKey, name, &k)
	if err == nil && !found {
		err = notFound("CryptoKey " + name + " not found.")
	}
	if err == nil && k.settle(now) {
		err = c.saveKey(k)
	}
	return k, err
}

func (c *Cloud) saveKey(k cryptoKey) error { return c.docs.Put(kindKey, k.Name, k) }

func (c *Cloud) createKeyRing(req *request) (any, error) {
	id := req.URL.Query().Get("keyRingId")
	if !resourceIDForm.MatchString(id) {
		return nil, invalidArgument("KeyRing id must match [a-zA-Z0-9_-]{1,63}.")
	}
	ring := keyRing{Name: req.path() + "/" + id, Created: req.now}
	var old keyRing
	found, err := c.docs.Get(kindRing, ring.Name, &old)
	if err != nil {
		return nil, err
	}
	if found {
		return nil, alreadyExists("KeyRing " + ring.Name + " already exists.")
	}
	return ring.wire(), c.docs.Put(kindRing, ring.Name, ring)
}

func (c *Cloud) listKeyRings(req *request) (any, error) {
	rings, err := list[keyRing](c.docs, kindRing, req.path()+"/")
	out := &kmspb.ListKeyRingsResponse{TotalSize: int32(len(rings))} //nolint:gosec // never that many
	for _, r := range rings {
		out.KeyRings = append(out.KeyRings, r.wire())
	}
	return out, err
}

func (c *Cloud) ring(name string) (keyRing, error) {
	var r keyRing
	found, err := c.docs.Get(kindRing, name, &r)
	if err == nil && !found {
		err = notFound("KeyRing " + name + " not found.")
	}
	return r, err
}

func (c *Cloud) getKeyRing(req *request) (any, error) {
	r, err := c.ring(req.path())
	return r.wire(), err
}

func (c *Cloud) createKey(req *request) (any, error) {
	in := &kmspb.CryptoKey{}
	if err := readMessage(req, in); err != nil {
		return nil, err
	}
	query := req.URL.Query()
	id := query.Get("cryptoKeyId")
	if !resourceIDForm.MatchString(id) {
		return nil, invalidArgument("CryptoKey id must match [a-zA-Z0-9_-]{1,63}.")
	}
	if _, err := c.ring(req.resource); err != nil {
		return nil, err
	}
	k, err := newKey(req.path()+"/"+id, in, req.now)
	if err != nil {
		return nil, err
	}
	var old cryptoKey
	found, err := c.docs.Get(kindKey, k.Name, &old)
	if err != nil {
		return nil, err
	}
	if found {
		return nil, alreadyExists("CryptoKey " + k.Name + " already exists.")
	}
	if query.Get("skipInitialVersionCreation") != "true" {
		k.add(req.now)
	}
	return k.wire(), c.saveKey(k)
}

// newKey checks what a request asks for.
func newKey(name string, in *kmspb.CryptoKey, now time.Time) (cryptoKey, error) {
	k := cryptoKey{
		Name: name, ID: make([]byte, keyIDLength), Created: now, Purpose: in.GetPurpose(), Labels: in.GetLabels(),
		Algorithm: defaultAlgorithms[in.GetPurpose()], Protection: kmspb.ProtectionLevel_SOFTWARE, DestroyAfter: defaultDestroyAfter,
	}
	rand.Read(k.ID) // never fails since Go 1.24
	if a := in.GetVersionTemplate().GetAlgorithm(); a != 0 {
		k.Algorithm = a
	}
	if p := in.GetVersionTemplate().GetProtectionLevel(); p != 0 {
		k.Protection = p
	}
	if k.Purpose == 0 {
		return k, invalidArgument("The purpose of the CryptoKey must be set.")
	}
	symmetric := k.Algorithm == kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION
	if k.Algorithm == 0 || symmetric != (k.Purpose == kmspb.CryptoKey_ENCRYPT_DECRYPT) {
		return k, invalidArgument("The algorithm " + k.Algorithm.String() + " does not fit the purpose " + k.Purpose.String() + ".")
	}
	if in.DestroyScheduledDuration != nil {
		k.DestroyAfter = in.GetDestroyScheduledDuration().AsDuration()
	}
	if k.DestroyAfter < minDestroyAfter || k.DestroyAfter > maxDestroyAfter {
		return k, invalidArgument("destroy_scheduled_duration must be between 24 hours and 120 days.")
	}
	return k, k.schedule(in, now)
}

// schedule sets when the key rotates.
func (k *cryptoKey) schedule(in *kmspb.CryptoKey, now time.Time) error {
	k.Rotation, k.NextRotation = in.GetRotationPeriod().AsDuration(), time.Time{}
	if in.NextRotationTime != nil {
		k.NextRotation = in.GetNextRotationTime().AsTime()
	}
	switch {
	case k.Rotation == 0 && k.NextRotation.IsZero():
		return nil
	case k.Purpose != kmspb.CryptoKey_ENCRYPT_DECRYPT:
		return invalidArgument("Only keys of purpose ENCRYPT_DECRYPT rotate automatically.")
	case k.Rotation != 0 && k.Rotation < minRotation:
		return invalidArgument("rotation_period must be at least 24 hours.")
	case k.NextRotation.IsZero():
		return invalidArgument("next_rotation_time must be set if rotation_period is set.")
	case !k.NextRotation.After(now):
		return invalidArgument("next_rotation_time must be in the future.")
	}
	return nil
}

func (c *Cloud) listKeys(req *request) (any, error) {
	keys, err := list[cryptoKey](c.docs, kindKey, req.path()+"/")
	out := &kmspb.ListCryptoKeysResponse{TotalSize: int32(len(keys))} //nolint:gosec // never that many
	for _, k := range keys {
		k.settle(req.now)
		out.CryptoKeys = append(out.CryptoKeys, k.wire())
	}
	return out, err
}

func (c *Cloud) getKey(req *request) (any, error) {
	k, err := c.key(req.path(), req.now)
	if err != nil {
		return nil, err
	}
	return k.wire(), nil
}

func (c *Cloud) updateKey(req *request) (any, error) {
	in := &kmspb.CryptoKey{}
	if err := readMessage(req, in); err != nil {
		return nil, err
	}
	k, err := c.key(req.path(), req.now)
	if err != nil {
		return nil, err
	}
	wanted := k.wire()
	for _, field := range updateMask(req) {
		switch field {
		case "rotationPeriod":
			wanted.RotationSchedule = in.GetRotationSchedule()
		case "nextRotationTime":
			wanted.NextRotationTime = in.GetNextRotationTime()
		case "labels":
			k.Labels = in.GetLabels()
		default:
			return nil, invalidArgument("The field " + field + " of a CryptoKey can't be updated here.")
		}
	}
	if err := k.schedule(wanted, req.now); err != nil {
		return nil, err
	}
	return k.wire(), c.saveKey(k)
}

// updateMask lists the fields to update, in camel case; snake case is taken too.
func updateMask(req *request) []string {
	mask := strings.Split(req.URL.Query().Get("updateMask"), ",")
	for i, field := range mask {
		words := strings.Split(strings.TrimSpace(field), "_")
		for j, w := range words[1:] {
			if w != "" {
				words[j+1] = strings.ToUpper(w[:1]) + w[1:]
			}
		}
		mask[i] = strings.Join(words, "")
	}
	return slices.Compact(mask)
}

func (c *Cloud) updatePrimary(req *request) (any, error) {
	in := &kmspb.UpdateCryptoKeyPrimaryVersionRequest{}
	if err := readMessage(req, in); err != nil {
		return nil, err
	}
	k, err := c.key(req.path(), req.now)
	if err != nil {
		return nil, err
	}
	n, err := k.number(in.GetCryptoKeyVersionId())
	if err != nil {
		return nil, err
	}
	if k.Purpose != kmspb.CryptoKey_ENCRYPT_DECRYPT {
		return nil, k.wrongPurpose()
	}
	k.Primary = n
	return k.wire(), c.saveKey(k)
}
