package project

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/identity"
)

// Limit is a bound that a tenant may move within what the operator's platform allows.
type Limit struct {
	Name         string
	Value        int64
	Default      *int64 // nil for limits that are off until they are set
	Maximum      *int64
	CurrentUsage int64
}

// limitRule says what a limit may be set to.
type limitRule struct {
	name     string
	fallback int64
	least    int64
	most     int64
	unset    bool // has neither default nor maximum, and does not exist until it is set
	use      Use  // what counts against it, if anything does
}

// clusterLimit bounds the clusters of a group.
const clusterLimit = "atlas.project.deployment.clusters"

// limitRules are the limits of the API with its documented defaults and maxima, in its order.
// Where a documented maximum is below its own default (network access entries: 200, 20), the
// default is the maximum.
var limitRules = []limitRule{
	{name: "atlas.project.security.databaseAccess.users", fallback: 100, most: 100},
	{name: clusterLimit, fallback: 25, most: 100, use: Clusters},
	{name: "atlas.project.deployment.serverlessMTMs", fallback: 100, most: 100},
	{name: "atlas.project.security.databaseAccess.customRoles", fallback: 100, most: 1400},
	{name: "atlas.project.security.networkAccess.entries", fallback: 200, most: 200},
	{name: "atlas.project.security.networkAccess.crossRegionEntries", fallback: 40, most: 220},
	{name: "atlas.project.deployment.nodesPerPrivateLinkRegion", fallback: 50, most: 90},
	{name: "atlas.project.deployment.privateServiceConnectionsPerRegionGroup", fallback: 50, most: 100},
	{name: "atlas.project.deployment.privateServiceConnectionsSubnetMask", fallback: 27, least: 20, most: 27},
	{name: "dataFederation.bytesProcessed.query", unset: true},
	{name: "dataFederation.bytesProcessed.daily", unset: true},
	{name: "dataFederation.bytesProcessed.weekly", unset: true},
	{name: "dataFederation.bytesProcessed.monthly", unset: true},
}

func findLimitRule(name string) (limitRule, error) {
	for _, r := range limitRules {
		if r.name == name {
			return r, nil
		}
	}
	return limitRule{}, atlas.Fail(atlas.InvalidEnumValue, name)
}

func (r limitRule) check(value int64) error {
	e := atlas.Fail(atlas.InvalidAttribute, "value")
	switch {
	case r.unset && value < 0:
		return e.Hinting("The limit %s cannot be negative.", r.name)
	case !r.unset && (value < r.least || value > r.most):
		return e.Hinting("The limit %s must be from %d to %d.", r.name, r.least, r.most)
	}
	return nil
}

// limit is the limit as it stands in a group. exists is false for one that is not set and has
// no default.
func (r limitRule) limit(g Group, p Preferences) (l Limit, exists bool) {
	value, isSet := p.Limits[r.name]
	l = Limit{Name: r.name, Value: value, CurrentUsage: int64(g.Uses[r.use])}
	if r.unset {
		return l, isSet
	}
	l.Default, l.Maximum = &r.fallback, &r.most
	if !isSet {
		l.Value = r.fallback
	}
	return l, true
}

// Limits lists the limits of an open group.
func (s *Service) Limits(ctx context.Context, groupID string) ([]Limit, error) {
	g, err := s.Open(ctx, groupID)
	if err != nil {
		return nil, err
	}
	p, _, err := s.preferences(ctx, groupID)
	if err != nil {
		return nil, err
	}
	limits := make([]Limit, 0, len(limitRules))
	for _, r := range limitRules {
		if l, exists := r.limit(g, p); exists {
			limits = append(limits, l)
		}
	}
	return limits, nil
}

// Limit reads one limit of an open group.
func (s *Service) Limit(ctx context.Context, groupID, name string) (Limit, error) {
	r, err := findLimitRule(name)
	if err != nil {
		return Limit{}, err
	}
	g, err := s.Open(ctx, groupID)
	if err != nil {
		return Limit{}, err
	}
	p, _, err := s.preferences(ctx, groupID)
	if err != nil {
		return Limit{}, err
	}
	l, exists := r.limit(g, p)
	if !exists {
		return Limit{}, atlas.Fail(atlas.ResourceNotFound, name).Hinting("The limit is not set.")
	}
	return l, nil
}

// SetLimit moves a limit.
func (s *Service) SetLimit(ctx context.Context, c identity.Caller, groupID, name string, value int64) (Limit, error) {
	r, err := findLimitRule(name)
	if err != nil {
		return Limit{}, err
	}
	if err := r.check(value); err != nil {
		return Limit{}, err
	}
	_, err = s.Tune(ctx, c, groupID, func(p *Preferences) error {
		if p.Limits == nil {
			p.Limits = map[string]int64{}
		}
		p.Limits[name] = value
		return nil
	})
	if err != nil {
		return Limit{}, err
	}
	return s.Limit(ctx, groupID, name)
}

// ResetLimit puts a limit back to its default. Resetting one that is at its default does nothing.
func (s *Service) ResetLimit(ctx context.Context, c identity.Caller, groupID, name string) error {
	if _, err := findLimitRule(name); err != nil {
		return err
	}
	_, err := s.Tune(ctx, c, groupID, func(p *Preferences) error {
		delete(p.Limits, name)
		if len(p.Limits) == 0 {
			p.Limits = nil
		}
		return nil
	})
	return err
}
