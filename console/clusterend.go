package console

import (
	"net/http"
	"net/url"

	"latchkey/shared/atlas"
)

// deleteView asks before a cluster is deleted.
type deleteView struct {
	GroupID   string
	Name      string
	Nodes     int
	Denied    string
	Protected bool
	Retain    Field
}

const fieldTyped = "typed"

func loadDelete(v *Visit) (any, error) {
	name := v.Param("clusterName")
	var c atlas.Cluster
	var rights Rights
	err := Together(
		func() error { return v.API.Get(v.Context(), v.Group("clusters", name), nil, &c) },
		func() (err error) { rights, err = v.Rights(); return err },
	)
	v.explain()
	v.Title = "Delete " + name
	view := deleteView{GroupID: v.GroupID(), Name: name, Nodes: nodesOf(c), Protected: c.TerminationProtectionEnabled}
	view.Retain = v.Field(Field{
		Name: "retain", Label: "Keep its snapshots until they expire", Type: "checkbox", Checked: c.RetainBackups,
		Hint: "Encrypted ones need their key as long as they are kept.",
	})
	if !rights.Owns() {
		view.Denied = "To delete a cluster takes a Project Owner."
	}
	return view, err
}

func deleteCluster(v *Visit) (string, error) {
	name := v.Param("clusterName")
	if v.Form(fieldTyped) != name {
		return "", Refuse("Type the name of the cluster to delete it.", map[string]string{fieldTyped: "This is not its name."})
	}
	path := v.Group("clusters", name) + "?" + url.Values{"retainBackups": {map[bool]string{true: "true", false: "false"}[v.Checked("retain")]}}.Encode()
	if err := v.API.Do(v.Context(), http.MethodDelete, path, nil, nil); err != nil {
		return "", err
	}
	v.Say("The cluster " + name + " is being deleted.")
	return v.Page("clusters"), nil
}

// loadPower asks before a cluster is paused, or resumed.
func loadPower(v *Visit) (any, error) {
	name := v.Param("clusterName")
	var c atlas.Cluster
	if err := v.API.Get(v.Context(), v.Group("clusters", name), nil, &c); err != nil {
		return nil, err
	}
	v.explain()
	ask := Confirm{
		Question: "Pause " + name + "?", Detail: "Its nodes stop, and serve no data until it is resumed. Data and snapshots stay.",
		Button: "Pause", Action: v.Page("clusters", name, "power"), Back: v.Page("clusters", name), Hidden: map[string]string{"paused": "true"},
	}
	v.Title = "Pause"
	if c.Paused {
		ask.Question, ask.Detail, ask.Button = "Resume "+name+"?", "Its nodes start. An encrypted cluster needs its key for that.", "Resume"
		ask.Hidden["paused"], v.Title = "false", "Resume"
	}
	return v.ask(ask, Rights.ManagesClusters, byClusterManagers)
}

func changePower(v *Visit) (string, error) {
	name, paused := v.Param("clusterName"), v.Form("paused") == "true"
	body := map[string]any{"paused": paused}
	if err := v.API.Do(v.Context(), http.MethodPatch, v.Group("clusters", name), body, nil); err != nil {
		return "", err
	}
	v.Say("The cluster " + name + " " + map[bool]string{true: "is being paused.", false: "is being resumed."}[paused])
	return v.Page("clusters", name), nil
}
