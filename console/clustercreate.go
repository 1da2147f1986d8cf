package console

import (
	"net/http"
	"slices"

	"latchkey/shared/atlas"
)

// draftView is the page of a form, or of the review of what was filled in.
type draftView struct {
	GroupID string
	// Name is the cluster's, "" for a new one.
	Name   string
	Denied string // why the form is not offered, "" if it is
	Draft  clusterDraft
	Fields clusterFields
	Clouds []cloudChoice
	// NoKey: no provider is set up, so that no cluster can be encrypted.
	NoKey bool
	// Private tells for each provider whether its key is reached through private endpoints alone.
	Private []privateRow
	// Fixed says why nodes are not edited here, "" if they are.
	Fixed string
	// MayEncrypt: the caller may change whose key encrypts the cluster, and its protection.
	MayEncrypt bool
	Open       bool // the additional settings
	Review     *clusterReview
	Form       string // path of the form
	Target     string // path of the review, which is also where changes are applied
}

type cloudChoice struct {
	Value, Text string
	Current     bool
}

type privateRow struct {
	Provider string
	Badge    Badge
}

// clusterReview is what was there and what shall be.
type clusterReview struct {
	Rows   []reviewRow
	Will   []string
	Hidden []hiddenField
	Back   string // the form, as it was filled in
}

// reviewRow is a setting as it is and as it shall be.
type reviewRow struct {
	What, Now, After string
	Changed          bool
}

type hiddenField struct{ Name, Value string }

const ownersCreate = "To create a cluster takes a Project Owner. You may look at what there is."

// loadCreate is the form of a new cluster.
func loadCreate(v *Visit) (any, error) {
	return v.createView(false)
}

// loadCreateReview is the review of a new cluster; the form again, if something is wrong with it.
func loadCreateReview(v *Visit) (any, error) {
	return v.createView(true)
}

func (v *Visit) createView(review bool) (draftView, error) {
	cloud := v.cloud()
	var o clusterOptions
	var rights Rights
	err := Together(
		func() (err error) { o, err = v.clusterOptions(cloud); return err },
		func() (err error) { rights, err = v.Rights(); return err },
	)
	if err != nil {
		return draftView{}, err
	}
	v.explain()
	d := v.draft(clusterDraft{Cloud: cloud, Size: "M10", Provider: noProvider, Backup: true})
	view := draftView{GroupID: v.GroupID(), Draft: d, MayEncrypt: true, Form: v.Page("new-cluster"), Target: v.Page("new-cluster", "review")}
	if !rights.Owns() {
		view.Denied = ownersCreate
		return view, nil
	}
	for _, p := range atlas.Providers() {
		view.Clouds = append(view.Clouds, cloudChoice{string(p), cloudName(p), p == cloud})
	}
	var wrong map[string]string
	if review {
		wrong = d.wrongs(o)
		v.Title = "Create a cluster"
	}
	if review && len(wrong) == 0 {
		v.Title = "Review Changes"
		view.Review = reviewOfNew(d, o)
		view.Review.Back = view.Form + "?" + d.Values().Encode()
		return view, nil
	}
	view.fill(o, wrong)
	return view, nil
}

// fill puts the fields into the page of a form.
func (view *draftView) fill(o clusterOptions, wrong map[string]string) {
	view.Fields = view.Draft.fields(o, wrong)
	view.NoKey = !slices.ContainsFunc(o.providers, func(k keyOption) bool { return k.enabled })
	view.Open = view.Name == "" || view.Draft.isEncrypted() || len(wrong) > 0
	for _, k := range o.providers {
		if k.enabled && k.provider != atlas.GCP {
			status := map[bool]string{true: "ACTIVE", false: "INACTIVE"}[k.private]
			view.Private = append(view.Private, privateRow{ProviderName(k.provider), privateBadge(status)})
		}
	}
}

// cloud is where the nodes of a draft are: where a button went over to, or what was chosen before.
func (v *Visit) cloud() atlas.Provider {
	for _, name := range []string{draftTo, draftCloud} {
		if p, err := atlas.ParseProvider(v.typed(name)); err == nil {
			return p
		}
	}
	return atlas.AWS
}

func createCluster(v *Visit) (string, error) {
	o, err := v.clusterOptions(v.cloud())
	if err != nil {
		return "", err
	}
	d := v.draft(clusterDraft{Cloud: v.cloud()})
	if wrong := d.wrongs(o); len(wrong) > 0 {
		return "", Refuse("Something in the form is not right.", wrong)
	}
	if err := v.API.Do(v.Context(), http.MethodPost, v.Group("clusters"), d.body(), nil); err != nil {
		return "", err
	}
	v.Say("The cluster " + d.Name + " is being created.")
	return v.Page("clusters", d.Name), nil
}
