package awscloud

import (
	"encoding/base32"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/local/pocket"
)

// secretName is the alphabet of secrets' names.
var secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

// maxSecret bounds a secret's value.
const maxSecret = 65536

// The labels of a secret's versions.
const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

// secret is one secret with the versions that a label names.
type secret struct {
	Name     string
	ARN      string
	Created  time.Time
	Versions []secretVersion // at most two: the current one first
}

type secretVersion struct {
	ID      string
	Created time.Time
	String  *string `json:",omitempty"`
	Binary  []byte  `json:",omitempty"`
}

func (v secretVersion) same(o secretVersion) bool {
	sameString := v.String == nil && o.String == nil || v.String != nil && o.String != nil && *v.String == *o.String
	return sameString && slices.Equal(v.Binary, o.Binary)
}

// secretsManager is AWS Secrets Manager in every region, without rotation and replication.
type secretsManager struct {
	state pocket.State
	mu    sync.Mutex // for reading and then writing a secret
}

func (c *Cloud) secretsService() pocket.Service {
	m := &secretsManager{state: c.state}
	return c.Serve(JSONService{
		Name: "secretsmanager", Target: "secretsmanager", ContentType: "application/x-amz-json-1.1", Perform: m.perform,
		Throttled: Failure{Code: "ThrottlingException", Message: "Rate exceeded"},
		Broken:    Failure{Code: "InternalServiceError", Message: "An error occurred on the server side.", Status: http.StatusInternalServerError},
	})
}

func (m *secretsManager) perform(r *Request) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch r.Operation {
	case "CreateSecret":
		return m.create(r)
	case "PutSecretValue":
		return m.putValue(r)
	case "GetSecretValue":
		return m.getValue(r)
	}
	return nil, &Failure{Code: "UnknownOperationException", Message: r.Operation}
}

type createSecretIn struct {
	ClientRequestToken string
	Name               string
	Description        string
	SecretString       *string
	SecretBinary       []byte
}

func (m *secretsManager) create(r *Request) (any, error) {
	var in createSecretIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	if !secretName.MatchString(in.Name) {
		return nil, invalidSecret("Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	suffix := base32.StdEncoding.EncodeToString(random(6))[:6]
	s := secret{Name: in.Name, ARN: r.ARN("secret:" + in.Name + "-" + suffix), Created: r.Now}
	if err := r.Allow("CreateSecret", s.ARN, map[string][]string{"secretsmanager:name": {in.Name}}); err != nil {
		return nil, err
	}
	id := kindID(r, in.Name)
	if found, err := m.state.Get(kindSecret, id, &secret{}); err != nil || found {
		return nil, orExists(err, in.Name)
	}
	answer := map[string]any{"ARN": s.ARN, "Name": s.Name}
	if in.SecretString != nil || in.SecretBinary != nil {
		v, err := newVersion(r, in.ClientRequestToken, in.SecretString, in.SecretBinary)
		if err != nil {
			return nil, err
		}
		s.Versions, answer["VersionId"] = []secretVersion{v}, v.ID
	}
	return answer, m.state.Put(kindSecret, id, s)
}

type putSecretIn struct {
	ClientRequestToken string
	SecretId           string //nolint:revive // AWS's spelling
	SecretString       *string
	SecretBinary       []byte
}

// putValue gives a secret a new value. The same value under the same token is one value.
func (m *secretsManager) putValue(r *Request) (any, error) {
	var in putSecretIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	s, err := m.find(r, in.SecretId)
	if err != nil {
		return nil, err
	}
	v, err := newVersion(r, in.ClientRequestToken, in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.Versions, func(o secretVersion) bool { return o.ID == v.ID })
	switch {
	case i >= 0 && !s.Versions[i].same(v):
		return nil, &Failure{
			Code:    "ResourceExistsException",
			Message: "You can't use ClientRequestToken " + v.ID + " because that value is already in use for a version of secret " + s.ARN + ".",
		}
	case i < 0:
		s.Versions = append([]secretVersion{v}, s.Versions[:min(1, len(s.Versions))]...)
	}
	answer := map[string]any{"ARN": s.ARN, "Name": s.Name, "VersionId": v.ID, "VersionStages": []string{stageCurrent}}
	return answer, m.state.Put(kindSecret, kindID(r, s.Name), s)
}

type getSecretIn struct {
	SecretId     string //nolint:revive // AWS's spelling
	VersionId    string //nolint:revive // AWS's spelling
	VersionStage string
}

func (m *secretsManager) getValue(r *Request) (any, error) {
	var in getSecretIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	s, err := m.find(r, in.SecretId)
	if err != nil {
		return nil, err
	}
	stages := []string{stageCurrent, stagePrevious}
	for i, v := range s.Versions {
		if in.VersionId == "" && in.VersionStage == "" && i > 0 {
			break
		}
		if in.VersionId != "" && in.VersionId != v.ID || in.VersionStage != "" && in.VersionStage != stages[i] {
			continue
		}
		answer := map[string]any{
			"ARN": s.ARN, "Name": s.Name, "VersionId": v.ID, "VersionStages": stages[i : i+1], "CreatedDate": epoch(v.Created),
		}
		if v.String != nil {
			answer["SecretString"] = *v.String
		} else {
			answer["SecretBinary"] = v.Binary
		}
		return answer, nil
	}
	return nil, &Failure{Code: "ResourceNotFoundException", Message: "Secrets Manager can't find the specified secret value."}
}

// find finds a secret by its name or its ARN, with or without the suffix, and checks that the
// caller may perform the operation on it. Whoever may not learns nothing of secrets that exist.
func (m *secretsManager) find(r *Request, id string) (secret, error) {
	keys := map[string][]string{"secretsmanager:secretid": {id}}
	name, isARN := strings.CutPrefix(id, r.ARN("secret:"))
	if !isARN && strings.HasPrefix(id, "arn:") {
		return secret{}, firstOf(r.Allow(r.Operation, id, keys), errNoSecret())
	}
	var s secret
	found, err := m.state.Get(kindSecret, kindID(r, name), &s)
	if err == nil && !found && isARN {
		if end := strings.LastIndexByte(name, '-'); end > 0 {
			found, err = m.state.Get(kindSecret, kindID(r, name[:end]), &s)
			found = found && s.ARN == id
		}
	}
	if err != nil {
		return secret{}, err
	}
	if !found {
		return secret{}, firstOf(r.Allow(r.Operation, r.ARN("secret:"+name), keys), errNoSecret())
	}
	return s, r.Allow(r.Operation, s.ARN, keys)
}

func newVersion(r *Request, token string, text *string, binary []byte) (secretVersion, error) {
	switch {
	case (text == nil) == (binary == nil):
		return secretVersion{}, invalidSecret("You must provide either SecretString or SecretBinary, and not both.")
	case text != nil && (*text == "" || len(*text) > maxSecret) || binary != nil && (len(binary) == 0 || len(binary) > maxSecret):
		return secretVersion{}, invalidSecret("The value of a secret has 1 to 65536 bytes.")
	}
	if token == "" {
		token = newUUID()
	}
	return secretVersion{ID: token, Created: r.Now, String: text, Binary: binary}, nil
}

func kindID(r *Request, name string) string { return r.Account + "/" + r.Region + "/" + name }

func invalidSecret(message string) error {
	return &Failure{Code: "InvalidParameterException", Message: message}
}

func errNoSecret() error {
	return &Failure{Code: "ResourceNotFoundException", Message: "Secrets Manager can't find the specified secret."}
}

func orExists(err error, name string) error {
	return firstOf(err, &Failure{Code: "ResourceExistsException", Message: "The operation failed because the secret " + name + " already exists."})
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
