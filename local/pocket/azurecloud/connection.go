package azurecloud

import (
	"net/http"
	"strings"

	"latchkey/local/pocket"
)

// connectionsAction begins what follows a vault's path in those of its connections.
const connectionsAction = "privateendpointconnections"

// connections serves the connections of private endpoints to a vault: its owner lists them, approves
// or rejects them, and removes them. name is "" for all.
func (s armService) connections(w http.ResponseWriter, c *pocket.Call, v vault, name string) {
	now := s.cfg.Now()
	all, err := s.endpoints(func(e privateEndpoint) bool {
		return e.VaultHost == v.Host && e.isThere(now) && (name == "" || strings.EqualFold(e.Connection, name))
	})
	switch {
	case err != nil:
		writeError(w, err)
	case name == "" && c.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, map[string]any{"value": connectionBodies(v, all)})
	case name == "":
		writeError(w, notAllowed(c))
	case len(all) == 0 && c.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case len(all) == 0:
		writeError(w, refuse(http.StatusNotFound, "ResourceNotFound", "The private endpoint connection '%s' was not found.", name))
	case c.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, all[0].connectionBody(v))
	case c.Method == http.MethodPut:
		s.putConnection(w, c, v, all[0])
	case c.Method == http.MethodDelete:
		e := all[0]
		e.Status = connectionDisconnected
		answer(w, http.StatusAccepted, nil, s.saveEndpoint(e))
	default:
		writeError(w, notAllowed(c))
	}
}

func (s armService) putConnection(w http.ResponseWriter, c *pocket.Call, v vault, e privateEndpoint) {
	var in struct {
		Properties struct {
			State struct {
				Status      string `json:"status"`
				Description string `json:"description"`
			} `json:"privateLinkServiceConnectionState"`
		} `json:"properties"`
	}
	if err := decode(c.Body, &in); err != nil {
		writeError(w, err)
		return
	}
	switch in.Properties.State.Status {
	case connectionApproved, connectionRejected:
	default:
		writeError(w, refuse(http.StatusBadRequest, "BadRequest", "The status must be Approved or Rejected."))
		return
	}
	if e.Status == connectionRejected && in.Properties.State.Status == connectionApproved {
		writeError(w, refuse(http.StatusBadRequest, "BadRequest", "A rejected connection cannot be approved."))
		return
	}
	e.Status, e.Description = in.Properties.State.Status, in.Properties.State.Description
	answer(w, http.StatusOK, e.connectionBody(v), s.saveEndpoint(e))
}

func connectionBodies(v vault, all []privateEndpoint) []any {
	bodies := make([]any, len(all))
	for i, e := range all {
		bodies[i] = e.connectionBody(v)
	}
	return bodies
}

// connectionBody is a connection as the vault's owner sees it.
func (e privateEndpoint) connectionBody(v vault) map[string]any {
	return map[string]any{
		"id": v.id() + "/privateEndpointConnections/" + e.Connection, "name": e.Connection, "type": "Microsoft.KeyVault/vaults/privateEndpointConnections",
		"properties": map[string]any{
			"provisioningState": "Succeeded", "privateEndpoint": map[string]any{"id": e.ID},
			"privateLinkServiceConnectionState": map[string]any{"status": e.Status, "description": e.Description, "actionsRequired": "None"},
		},
	}
}

// shown is a vault's body with its connections.
func (s armService) shown(v vault) (map[string]any, error) {
	now := s.cfg.Now()
	all, err := s.endpoints(func(e privateEndpoint) bool { return e.VaultHost == v.Host && e.isThere(now) })
	body := v.body()
	if properties, ok := body["properties"].(map[string]any); ok && len(all) > 0 {
		properties["privateEndpointConnections"] = connectionBodies(v, all)
	}
	return body, err
}
