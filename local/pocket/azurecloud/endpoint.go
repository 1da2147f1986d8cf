package azurecloud

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// privateEndpoint is a private endpoint to a key vault, in a network of whoever made it.
type privateEndpoint struct {
	ID          string                 `json:"id"` // as it was written first
	Environment atlas.AzureEnvironment `json:"environment"`
	Name        string                 `json:"name"`
	Location    string                 `json:"location"`
	Subnet      string                 `json:"subnet"`
	Tags        map[string]string      `json:"tags"`
	Connection  string                 `json:"connection"` // its name
	Manual      bool                   `json:"manual"`
	VaultID     string                 `json:"vaultId"`
	VaultHost   string                 `json:"vaultHost"`
	Message     string                 `json:"message"`
	Status      string                 `json:"status"` // of the connection
	Description string                 `json:"description"`
	Failure     string                 `json:"failure,omitempty"`
	// ReadyAt is when it is provisioned, or its deletion done.
	ReadyAt time.Time `json:"readyAt"`
	Deleted bool      `json:"deleted,omitempty"`
}

// The statuses of a connection.
const (
	connectionPending      = "Pending"
	connectionApproved     = "Approved"
	connectionRejected     = "Rejected"
	connectionDisconnected = "Disconnected" // the vault's owner removed it
)

// The provisioning states of an endpoint.
const (
	stateUpdating  = "Updating"
	stateSucceeded = "Succeeded"
	stateDeleting  = "Deleting"
	stateFailed    = "Failed"
)

// state is the endpoint's provisioning state; "" if it is gone.
func (e privateEndpoint) state(now time.Time) string {
	isDone := !now.Before(e.ReadyAt)
	switch {
	case e.Deleted && isDone:
		return ""
	case e.Deleted:
		return stateDeleting
	case e.Failure != "":
		return stateFailed
	case !isDone:
		return stateUpdating
	}
	return stateSucceeded
}

// address is the endpoint's in its network.
func (e privateEndpoint) address() netip.Addr {
	sum := sha256.Sum256([]byte(strings.ToLower(e.ID)))
	return netip.AddrFrom4([4]byte{10, sum[0], sum[1], sum[2]})
}

// isThere reports whether the vault's owner sees its connection.
func (e privateEndpoint) isThere(now time.Time) bool {
	state := e.state(now)
	return (state == stateSucceeded || state == stateUpdating) && e.Status != connectionDisconnected
}

// endpointDelay is how long an endpoint takes to come and to go if nothing else is configured.
const endpointDelay = 20 * time.Second

func (c *Cloud) endpointDelay() time.Duration {
	if c.cfg.EndpointDelay == nil {
		return endpointDelay
	}
	return c.cfg.EndpointDelay()
}

// endpoints lists the private endpoints for which choose is true.
func (c *Cloud) endpoints(choose func(privateEndpoint) bool) ([]privateEndpoint, error) {
	var all []privateEndpoint
	err := c.cfg.State.Each(kindEndpoint, func(_ string, body []byte) error {
		var e privateEndpoint
		err := json.Unmarshal(body, &e)
		if err == nil && e.state(c.cfg.Now()) != "" && choose(e) {
			all = append(all, e)
		}
		return err
	})
	return all, err
}

func (c *Cloud) saveEndpoint(e privateEndpoint) error {
	return c.cfg.State.Put(kindEndpoint, strings.ToLower(e.ID), e)
}

// endpoint finds an endpoint by its resource id.
func (c *Cloud) endpoint(id string) (e privateEndpoint, found bool, err error) {
	found, err = c.cfg.State.Get(kindEndpoint, strings.ToLower(id), &e)
	return e, found && e.state(c.cfg.Now()) != "", err
}

// FailEndpoint makes the provisioning of a private endpoint fail.
func (c *Cloud) FailEndpoint(id, why string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, found, err := c.endpoint(id)
	if err != nil || !found {
		return err
	}
	e.Failure = why
	return c.saveEndpoint(e)
}

// leadsTo reports whether a request gets to a vault at all: by the vault's name, or by the address
// of an approved private endpoint that leads there.
func (c *Cloud) leadsTo(v vault, call *pocket.Call) (bool, error) {
	at, isPrivate := privateAddress(call)
	if !isPrivate {
		return true, nil
	}
	now := c.cfg.Now()
	all, err := c.endpoints(func(e privateEndpoint) bool {
		return e.VaultHost == v.Host && e.address() == at && e.state(now) == stateSucceeded && e.Status == connectionApproved
	})
	return len(all) > 0, err
}

// privateAddress is the address that a request was sent to, if that is not where this program
// listens.
func privateAddress(call *pocket.Call) (netip.Addr, bool) {
	text := call.Header.Get(pocket.AddressHeader)
	if text == "" {
		text = call.URL.Hostname()
	}
	at, err := netip.ParseAddr(text)
	return at, err == nil && !at.IsLoopback()
}

// endpointsMarker is in the paths of private endpoints.
const endpointsMarker = "/providers/microsoft.network/privateendpoints/"

// serveEndpoint creates, shows and deletes a private endpoint. principal is the application that
// asks, nil for an administrator.
func (s armService) serveEndpoint(w http.ResponseWriter, c *pocket.Call, principal *claims) {
	path := strings.Split(strings.Trim(c.URL.Path, "/"), "/")
	if len(path) != 8 || !strings.EqualFold(path[0], "subscriptions") || !atlas.ValidUUID(path[1]) || !strings.EqualFold(path[2], "resourceGroups") {
		writeError(w, refuse(http.StatusBadRequest, "InvalidRequestUri",
			"The path must be /subscriptions/{uuid}/resourceGroups/{group}/providers/Microsoft.Network/privateEndpoints/{name}."))
		return
	}
	id := "/" + strings.Join(path, "/")
	if principal != nil {
		if err := s.allowEndpoint(c.Method, id, *principal); err != nil {
			writeError(w, err)
			return
		}
	}
	e, found, err := s.endpoint(id)
	switch {
	case err != nil:
		writeError(w, err)
	case c.Method == http.MethodPut:
		s.putEndpoint(w, c, id, e, found)
	case c.Method == http.MethodDelete:
		s.deleteEndpoint(w, c, e, found)
	case c.Method != http.MethodGet:
		writeError(w, notAllowed(c))
	case !found:
		writeError(w, refuse(http.StatusNotFound, "ResourceNotFound", "The Resource 'Microsoft.Network/privateEndpoints/%s' under resource group '%s' was not found.", path[7], path[3]))
	default:
		writeJSON(w, http.StatusOK, e.body(s.cfg.Now()))
	}
}

// endpointActions are what the methods do, as roles name it.
var endpointActions = map[string]string{
	http.MethodGet: readEndpoints, http.MethodPut: writeEndpoints, http.MethodDelete: deleteEndpoints,
}

func (s armService) allowEndpoint(method, id string, who claims) error {
	action := endpointActions[method]
	granted, err := s.grants(actions, who.ObjectID, action, id)
	if err == nil && !granted {
		err = refuse(http.StatusForbidden, "AuthorizationFailed", "The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			who.AppID, who.ObjectID, action, id)
	}
	return err
}

// endpointInput is what clients send to create an endpoint.
type endpointInput struct {
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties struct {
		Subnet struct {
			ID string `json:"id"`
		} `json:"subnet"`
		Connections []connectionInput `json:"privateLinkServiceConnections"`
		Manual      []connectionInput `json:"manualPrivateLinkServiceConnections"`
	} `json:"properties"`
}

type connectionInput struct {
	Name       string `json:"name"`
	Properties struct {
		Service string   `json:"privateLinkServiceId"`
		Groups  []string `json:"groupIds"`
		Message string   `json:"requestMessage"`
	} `json:"properties"`
}

// maxRequestMessage is how long a message to the vault's owner may be.
const maxRequestMessage = 140

func (s armService) putEndpoint(w http.ResponseWriter, c *pocket.Call, id string, old privateEndpoint, found bool) {
	var in endpointInput
	if err := decode(c.Body, &in); err != nil {
		writeError(w, err)
		return
	}
	if found && old.Deleted {
		writeError(w, refuse(http.StatusConflict, "AnotherOperationInProgress", "Another operation on this or dependent resource is in progress."))
		return
	}
	made, err := s.newEndpoint(c, id, in)
	if err == nil && found && !strings.EqualFold(made.VaultID, old.VaultID) {
		err = refuse(http.StatusBadRequest, "PrivateLinkServiceConnectionCannotBeChanged", "The connection of a private endpoint cannot be changed.")
	}
	if err != nil {
		writeError(w, err)
		return
	}
	status := http.StatusOK
	if !found {
		status, old = http.StatusCreated, made
		if err := s.saveEndpoint(made); err != nil {
			writeError(w, err)
			return
		}
	}
	s.asynchronous(w, c)
	writeJSON(w, status, old.body(s.cfg.Now()))
}

// newEndpoint is the endpoint that a request asks for.
func (s armService) newEndpoint(c *pocket.Call, id string, in endpointInput) (privateEndpoint, error) {
	connections := slices.Concat(in.Properties.Connections, in.Properties.Manual)
	switch {
	case in.Location == "":
		return privateEndpoint{}, refuse(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
	case in.Properties.Subnet.ID == "":
		return privateEndpoint{}, refuse(http.StatusBadRequest, "SubnetIsRequired", "A private endpoint needs a subnet.")
	case len(connections) != 1 || connections[0].Name == "":
		return privateEndpoint{}, refuse(http.StatusBadRequest, "PrivateLinkServiceConnectionRequired", "A private endpoint has exactly one connection here.")
	}
	link := connections[0]
	if len(link.Properties.Message) > maxRequestMessage {
		return privateEndpoint{}, refuse(http.StatusBadRequest, "RequestMessageTooLong", "The request message must have at most 140 characters.")
	}
	if !slices.Equal(link.Properties.Groups, []string{"vault"}) {
		return privateEndpoint{}, refuse(http.StatusBadRequest, "InvalidGroupId", "A key vault has the group 'vault' only.")
	}
	v, err := s.linked(c, link.Properties.Service)
	if err != nil {
		return privateEndpoint{}, err
	}
	if err := s.checkEndpointQuota(id); err != nil {
		return privateEndpoint{}, err
	}
	return privateEndpoint{
		ID: id, Environment: v.Environment, Name: id[strings.LastIndexByte(id, '/')+1:], Location: in.Location, Subnet: in.Properties.Subnet.ID, Tags: in.Tags,
		Connection: link.Name, Manual: len(in.Properties.Manual) > 0, VaultID: v.id(), VaultHost: v.Host, Message: link.Properties.Message,
		Status: connectionPending, ReadyAt: s.cfg.Now().Add(s.endpointDelay()),
	}, nil
}

// linked finds the vault that an endpoint shall lead to. One needs no permission to ask for it: its
// owner approves.
func (s armService) linked(c *pocket.Call, resourceID string) (vault, error) {
	path := strings.Split(strings.Trim(resourceID, "/"), "/")
	env, _ := environmentOf(c.Host, atlas.AzureEnvironment.ManagementHost)
	if len(path) == 8 {
		v, found, err := s.vault(strings.ToLower(path[7]) + "." + env.VaultSuffix())
		if err != nil {
			return vault{}, err
		}
		if found && v.DeletedAt.IsZero() && strings.EqualFold(v.id(), resourceID) {
			return v, nil
		}
	}
	return vault{}, refuse(http.StatusBadRequest, "InvalidResourceReference", "Resource %s referenced by the private endpoint was not found.", resourceID)
}

func (s armService) checkEndpointQuota(id string) error {
	if s.cfg.EndpointQuota == 0 {
		return nil
	}
	subscription := strings.ToLower(strings.Split(id, "/")[2])
	all, err := s.endpoints(func(e privateEndpoint) bool {
		return !strings.EqualFold(e.ID, id) && strings.ToLower(strings.Split(e.ID, "/")[2]) == subscription
	})
	if err == nil && len(all) >= s.cfg.EndpointQuota {
		err = refuse(http.StatusBadRequest, "PrivateEndpointCountLimitReached", "The subscription has reached the limit of private endpoints.")
	}
	return err
}

func (s armService) deleteEndpoint(w http.ResponseWriter, c *pocket.Call, e privateEndpoint, found bool) {
	if !found {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !e.Deleted {
		e.Deleted, e.ReadyAt = true, s.cfg.Now().Add(s.endpointDelay())
		if err := s.saveEndpoint(e); err != nil {
			writeError(w, err)
			return
		}
	}
	s.asynchronous(w, c)
	w.WriteHeader(http.StatusAccepted)
}

// asynchronous tells where a client would learn how an operation went on. Nobody has to ask: the
// resource itself says so too.
func (s armService) asynchronous(w http.ResponseWriter, c *pocket.Call) {
	env, _ := environmentOf(c.Host, atlas.AzureEnvironment.ManagementHost)
	operation := "https://" + env.ManagementHost() + c.URL.Path + "/operations/" + newUUID() + "?api-version=" + c.URL.Query().Get("api-version")
	w.Header().Set("Azure-AsyncOperation", operation)
	w.Header().Set("Location", operation)
	w.Header().Set("Retry-After", "10")
}

// body is the endpoint as Resource Manager shows it.
func (e privateEndpoint) body(now time.Time) map[string]any {
	connection := map[string]any{
		"name": e.Connection, "id": e.ID + "/manualPrivateLinkServiceConnections/" + e.Connection,
		"properties": map[string]any{
			"provisioningState": "Succeeded", "privateLinkServiceId": e.VaultID, "groupIds": []string{"vault"}, "requestMessage": e.Message,
			"privateLinkServiceConnectionState": map[string]any{"status": e.Status, "description": e.Description, "actionsRequired": "None"},
		},
	}
	none, one := []any{}, []any{connection}
	manual, automatic := one, none
	if !e.Manual {
		manual, automatic = none, one
	}
	dns := []any{}
	if e.Status == connectionApproved && e.state(now) == stateSucceeded {
		dns = append(dns, map[string]any{"fqdn": e.VaultHost, "ipAddresses": []string{e.address().String()}})
	}
	return map[string]any{
		"id": e.ID, "name": e.Name, "type": "Microsoft.Network/privateEndpoints", "location": e.Location, "tags": e.Tags,
		"properties": map[string]any{
			"provisioningState": e.state(now), "subnet": map[string]any{"id": e.Subnet}, "customDnsConfigs": dns,
			"privateLinkServiceConnections": automatic, "manualPrivateLinkServiceConnections": manual, "networkInterfaces": none,
		},
	}
}
