package console

import (
	"strings"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// What to do about alerts that no check of a key has raised, by how their types end.
var alertRemedies = []struct{ suffix, text string }{
	{"_ENCRYPTION_KEY_NEEDS_ROTATION", "Make another key, or another version of it, at the provider, and name it with Use another key on the page Advanced."},
	{"_KEY_EXPIRING", "Set a later end of the key at its provider, or cancel its deletion; or use another key before this one ends."},
	{"_CREDENTIALS_EXPIRING", "Make a new client secret at Azure, and enter it with Edit on the page Advanced, with the date on which it ends; or switch to role-based access."},
	{"_KEY_UNPROTECTED", "Turn on soft delete and purge protection of the key vault: without them, the key can be lost for ever."},
}

// verdictsOf are the classes of verdicts that raise a type of alerts; none for a type that no check of a key raises.
func verdictsOf(kind string) []verdict.Class {
	switch {
	case strings.HasSuffix(kind, "_ENCRYPTION_KEY_INVALID"), kind == "ENCRYPTION_AT_REST_CONFIG_NO_LONGER_VALID":
		return []verdict.Class{verdict.Invalid}
	case kind == "ENCRYPTION_AT_REST_KMS_NETWORK_ACCESS_DENIED":
		return []verdict.Class{verdict.Unreachable, verdict.Throttled}
	}
	return nil
}

// remediesOf say what to do about an alert, by how the keys that it may be about stand now. It falls back on what was
// told when it began. There are several where it may be about several keys.
func remediesOf(a alertWire, began story, reports map[atlas.Provider]keyReport) []string {
	if !a.isLive() {
		return nil
	}
	for _, r := range alertRemedies {
		if strings.HasSuffix(a.Type, r.suffix) {
			return []string{r.text}
		}
	}
	var found []string
	for _, p := range atlas.Providers() {
		key := reports[p].InUse
		if of := providerOfType(a.Type); key == nil || of != "" && of != p {
			continue
		}
		for _, class := range verdictsOf(a.Type) {
			if key.Status.Class == class {
				found = append(found, ProviderName(p)+": "+remedy(key.Status, p == atlas.AWS && mayMove(key.Key)))
			}
		}
	}
	if len(found) == 0 && began.Remedy != "" {
		found = append(found, began.Remedy)
	}
	return found
}
