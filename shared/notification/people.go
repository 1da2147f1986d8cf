package notification

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"latchkey/shared/alert"
	"latchkey/shared/identity"
	"latchkey/shared/project"
)

// People finds whom to tell; project.Service is the one in use.
type People interface {
	// Members lists the members of a group.
	Members(ctx context.Context, groupID string) ([]project.Member, error)
	// People lists the people of an organisation.
	People(ctx context.Context, orgID string) ([]project.Person, error)
}

// maxRecipients bounds how many people one notification goes to, so that a delivery fits its record
// and its lease.
const maxRecipients = 1000

// recipients lists the targets of a notice, as they are when it is delivered first. People have
// e-mail addresses and nothing else, so those who are to be told by text message only are not
// told. Teams do not exist (the API lists none), so nobody is in one.
func (s *Service) recipients(ctx context.Context, n alert.Notice) ([]DeliveredTarget, error) {
	var addresses []string
	var err error
	switch kind := n.Notification.Type; kind {
	case alert.Group, alert.Org, alert.User, alert.Team:
		if n.Notification.Email {
			addresses, err = s.addressesOf(ctx, n)
		}
	case alert.Email:
		addresses = []string{n.Notification.Members["emailAddress"]}
	case alert.SMS:
		return []DeliveredTarget{waiting(kind, n.Notification.Members["mobileNumber"])}, nil
	default:
		return []DeliveredTarget{waiting(kind, "")}, nil
	}
	return mailed(addresses), err
}

// addressesOf lists the people whom a notice names.
func (s *Service) addressesOf(ctx context.Context, n alert.Notice) ([]string, error) {
	asked := func(roles []identity.Role) bool {
		return n.Notification.Roles == nil || slices.ContainsFunc(roles, func(r identity.Role) bool {
			return slices.Contains(n.Notification.Roles, string(r))
		})
	}
	switch n.Notification.Type {
	case alert.Group:
		return s.members(ctx, n.Alert.GroupID, asked)
	case alert.Org:
		return s.people(ctx, n.Alert.OrgID, func(p project.Person) bool { return asked(p.OrgRoles) })
	case alert.User:
		// Somebody of another organisation is nobody here.
		username := n.Notification.Members["username"]
		return s.people(ctx, n.Alert.OrgID, func(p project.Person) bool { return strings.EqualFold(p.Username, username) })
	default:
		return nil, nil
	}
}

// addressees lists the targets of an e-mail.
func (s *Service) addressees(ctx context.Context, m Mail) ([]DeliveredTarget, error) {
	has := func(roles []identity.Role) bool {
		return slices.ContainsFunc(roles, func(r identity.Role) bool { return slices.Contains(m.To, r) })
	}
	members, err := s.members(ctx, m.GroupID, has)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(m.To, identity.IsOrgRole) {
		people, err := s.people(ctx, m.OrgID, func(p project.Person) bool { return has(p.OrgRoles) })
		if err != nil {
			return nil, err
		}
		members = append(members, people...)
	}
	return mailed(members), nil
}

func (s *Service) members(ctx context.Context, groupID string, wanted func([]identity.Role) bool) ([]string, error) {
	members, err := s.People.Members(ctx, groupID)
	var addresses []string
	for _, m := range members {
		if wanted(m.Roles) {
			addresses = append(addresses, m.Username)
		}
	}
	return addresses, err
}

func (s *Service) people(ctx context.Context, orgID string, wanted func(project.Person) bool) ([]string, error) {
	people, err := s.People.People(ctx, orgID)
	var addresses []string
	for _, p := range people {
		if wanted(p) {
			addresses = append(addresses, p.Username)
		}
	}
	return addresses, err
}

// mailed makes targets of addresses, one of each: upper and lower case make no difference to
// whose mailbox it is.
func mailed(addresses []string) []DeliveredTarget {
	addresses = slices.DeleteFunc(addresses, func(a string) bool { return a == "" })
	slices.SortStableFunc(addresses, func(a, b string) int { return cmp.Compare(strings.ToLower(a), strings.ToLower(b)) })
	addresses = slices.CompactFunc(addresses, strings.EqualFold)
	targets := make([]DeliveredTarget, 0, len(addresses))
	for _, a := range addresses[:min(len(addresses), maxRecipients)] {
		targets = append(targets, waiting(alert.Email, a))
	}
	return targets
}

func waiting(k alert.Kind, address string) DeliveredTarget {
	return DeliveredTarget{Kind: k, Address: address, State: Waiting}
}
