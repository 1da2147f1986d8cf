package console

import (
	"latchkey/shared/verdict"
)

// VerdictBadge is what the last check of a key found.
func VerdictBadge(class verdict.Class, reason verdict.Reason) Badge {
	switch class {
	case verdict.Valid:
		return Badge{Good, "Valid"}
	case verdict.Invalid:
		return Badge{Bad, "Not valid"}
	case verdict.Unreachable:
		return Badge{Warning, "Out of reach"}
	case verdict.Throttled:
		return Badge{Warning, "Slowed down"}
	case verdict.Inconclusive:
	}
	if reason == verdict.Unconfirmed {
		return Badge{Busy, "Being checked"}
	}
	return Badge{Warning, "Not known"}
}

// ours are reasons that are about the service; reasonTexts has those about keys.
var ours = map[verdict.Reason]string{
	verdict.KeyMismatch:    "the key answers, but does not open what the service keeps for its check",
	verdict.OurCredentials: "the provider does not accept the service itself",
	verdict.RequestInvalid: "the provider does not understand the request",
	verdict.SealFailed:     "the stored secret cannot be read",
	verdict.Internal:       "the service has a problem",
	verdict.Cancelled:      "the check was ended early",
	verdict.Implausible:    "so many keys failed alike that the check is in doubt",
	verdict.Unconfirmed:    "a second check is to confirm the first",
}

// reasonSentence says why a key can or cannot be used.
func reasonSentence(r verdict.Reason) string {
	if own := ours[r]; own != "" {
		return own
	}
	return ReasonText(string(r))
}

// statusSentence is what a finding means, for the key and for clusters.
func statusSentence(s keyStatus) string {
	why := reasonSentence(s.Reason)
	switch s.Class {
	case verdict.Valid:
		return "The key encrypts and decrypts."
	case verdict.Invalid:
		return "The key cannot be used: " + why + ". Clusters that use it are stopped until it can."
	case verdict.Unreachable:
		return "The key is out of reach: " + why + ". Clusters keep running; a node that restarts waits for the key."
	case verdict.Throttled:
		return "The key is used less often for now: " + why + ". Clusters keep running."
	case verdict.Inconclusive:
	}
	last := "it was valid"
	if !s.Valid {
		last = "it was not valid"
	}
	return "The last check concluded nothing: " + why + ". By the one before, " + last + "; nothing changes for clusters until a check concludes."
}

// remedies are what to do about a reason, at any provider.
var remedies = map[verdict.Reason]string{
	verdict.KeyDisabled:        "Enable the key at its provider, then click Try again.",
	verdict.KeyPendingDeletion: "Cancel the deletion of the key at its provider and enable the key, then click Try again. Once it is gone, nobody can read what it encrypts.",
	verdict.KeyDeleted:         "Recover the key at its provider if it still can be, then click Try again.",
	verdict.KeyNotFound:        "Recover the key if it was deleted, or correct its name and where it is with Edit.",
	verdict.KeyPendingImport:   "Import the key material into the key, then click Try again.",
	verdict.KeyNotReady:        "Wait until the provider has made the key, then click Try again.",
	verdict.KeyExpired:         "Set a later expiration date for the key, or make a new version and use that one.",
	verdict.KeyExpiring:        "Set a later expiration date for the key, or make a new version and use that one.",
	verdict.KeyNotActive:       "Set an earlier activation date for the key, then click Try again.",
	verdict.KeyUnsuitable:      "Use a key that is made to encrypt and decrypt.",
	verdict.AccessDenied:       "Give the role or the credentials the permission to use the key again (Edit lists what is needed), then click Try again.",
	verdict.RoleDenied:         "Restore the role, or its trust in the service, then click Try again.",
	verdict.CredentialsInvalid: "Enter valid credentials with Edit, or switch to role-based access.",
	verdict.CredentialsExpired: "Enter new credentials with Edit, or switch to role-based access.",
	verdict.NetworkRefused:     "Let the addresses of the control plane and of the nodes through the key's network rules, then click Try again.",
	verdict.ConnectFailed:      "See whether the provider has an outage, and whether the key's network can be reached. It is tried again every minute.",
	verdict.TimedOut:           "See whether the provider has an outage, and whether the key's network can be reached. It is tried again every minute.",
	verdict.ProviderError:      "See whether the provider has an outage. It is tried again every minute.",
	verdict.KeyUnavailable:     "See whether the provider has an outage. It is tried again every minute.",
	verdict.RateLimited:        "Raise the quota of the key's account, or use the key less elsewhere.",
	verdict.Unconfirmed:        "There is nothing to do: it is checked again within a minute.",
	verdict.Cancelled:          "Click Try again.",
}

// remedy says what to do about a finding; moves is whether the key may be in several Regions.
func remedy(s keyStatus, moves bool) string {
	switch {
	case s.Class == verdict.Valid:
		return ""
	case s.Class == verdict.Unreachable && moves:
		return remedies[s.Reason] + " A multi-Region key can be moved to a Region where it can be reached: Change the Region."
	case remedies[s.Reason] != "":
		return remedies[s.Reason]
	}
	return "There is nothing that you can do: this is the service's own problem, and whoever runs it has been told."
}

// changeView is how a change of a key stands, in words.
type changeView struct {
	Badge   Badge
	Title   string
	Text    string
	BeganAt string
	EndedAt *string
	Wait    string
	Done    int // of Total; Total is 0 if there is nothing to count
	Total   int
	Unit    string
	Awaited []awaitedNode
	More    int // nodes that are not listed
	Lost    int
}

// The kinds of change.
const (
	rotates     = "rotate-key"
	switches    = "switch-role"
	moves       = "reconfigure-region"
	underWay    = "UNDER_WAY"
	changeEnded = "FINISHED"
)

var changeTitles = map[string]string{
	rotates: "Use of another key", switches: "Change of how the key is reached", moves: "Move to another Region",
}

// viewChange puts a change into words; nil stays nil.
func viewChange(c *keyChange) *changeView {
	if c == nil {
		return nil
	}
	view := &changeView{Title: or(changeTitles[c.Kind], c.Kind), BeganAt: c.BeganAt, EndedAt: c.EndedAt, Lost: c.Lost}
	switch c.State {
	case underWay:
		view.Badge = Badge{Busy, "Under way"}
		view.progress(c)
	case changeEnded:
		view.Badge, view.Text = Badge{Good, "Finished"}, "Nothing leads back from it."
	case "RESTORED":
		view.Badge, view.Text = Badge{Warning, "Taken back"}, "The former configuration is in use again"+because(c.Reason)+"."
	case "ABANDONED":
		view.Badge, view.Text = Badge{Neutral, "Ended early"}, "The provider was turned off meanwhile."
	default:
		view.Badge = Badge{Neutral, c.State}
	}
	return view
}

func because(reason *string) string {
	if text(reason) == "" {
		return ""
	}
	return ": " + reasonSentence(verdict.Reason(*reason))
}

// progress says how far a change is. One of the way to a key counts wrapped keys that opened; one of
// the key counts nodes; a move counts keys, then the nodes that were down.
func (view *changeView) progress(c *keyChange) {
	left := c.Remaining
	if left == nil {
		return
	}
	view.Awaited = left.Awaited
	view.More = max(0, c.Left-len(left.Awaited))
	switch {
	case c.Kind == rotates:
		view.Done, view.Total, view.Unit = max(0, left.Nodes-c.Left), left.Nodes, "node"
		view.Text = "One node after the other has its master key wrapped by the other key. Data is not rewritten, and no node restarts."
	case c.Kind == moves && c.Proved >= left.WrappedKeys:
		view.Done, view.Total, view.Unit = max(0, left.Nodes-c.Left), left.Nodes, "node"
		view.Text = "Every master key opens in the new Region. Nodes that could not start are started."
	default:
		view.Done, view.Total, view.Unit = c.Proved, left.WrappedKeys, "wrapped key"
		view.Text = "Each wrapped master key is opened in the new way. If one does not open, the former way is used again. No node restarts that runs."
	}
	if view.Total > 0 && view.Done == view.Total {
		view.Wait = "All is done; a last look at what is left ends it within a minute or two."
	}
	switch text(left.WaitsFor) {
	case "KEY":
		view.Badge = Badge{Warning, "Waiting for the key"}
		view.Wait = "It goes on once the key can be used" + because(c.Reason) + "."
	case "NODES":
		view.Wait = "It waits for " + count(c.Left, "node") + "."
	}
}
