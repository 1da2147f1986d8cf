package console

import (
	"net/http"

	"latchkey/shared/atlas"
)

// keyOffView is the question before a provider is turned off.
type keyOffView struct {
	GroupID  string
	Provider atlas.Provider
	Name     string
	Closed   string
	Clusters []keyCluster
	Former   int  // keys that are needed all the same
	Invalid  bool // it would be refused: the key is not valid
	Private  bool // there may be private endpoints, which would be in the way
	Confirm  Confirm
}

func loadKeyOff(v *Visit) (any, error) {
	r, err := v.readKey()
	if err != nil {
		return nil, err
	}
	users, err := v.keyUsers()
	if err != nil {
		return nil, err
	}
	p := r.provider
	view := keyOffView{GroupID: v.GroupID(), Provider: p, Name: ProviderName(p), Former: len(r.reports[p].Former)}
	v.Title = "Turn off " + view.Name
	switch {
	case !r.rights.Owns():
		view.Closed = "Only Project Owners change how keys are managed."
	case !isOn(r.settings, p):
		view.Closed = "It is off already."
	}
	for _, u := range users {
		if u.uses(p) {
			view.Clusters = append(view.Clusters, keyCluster{u.Name, u.stoppedBy(p)})
		}
	}
	view.Invalid = !validBySettings(r.settings, p)
	view.Private = r.reports[p].requiresPrivate()
	view.Confirm = Confirm{
		Question: "Remove the configuration of " + view.Name + " from this project?",
		Detail: "The name of the key and any stored credentials are destroyed. Access roles stay. Snapshots that were encrypted with the key " +
			"still need it: keep the key at the provider for as long as they are listed on the page Advanced.",
		Action: v.keyPath(p, "off"), Button: "Turn off " + view.Name, Danger: true, Back: v.Page("advanced"),
	}
	return view, nil
}

// turnOff removes a provider's configuration.
func turnOff(v *Visit) (string, error) {
	p, err := v.provider()
	if err != nil {
		return "", err
	}
	body := map[string]any{block(p): map[string]any{"enabled": false}}
	if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("encryptionAtRest"), body, nil); err != nil {
		return "", placed(err, p, nil)
	}
	v.Say(ProviderName(p) + " is off. Its configuration was removed.")
	return v.Page("advanced"), nil
}
