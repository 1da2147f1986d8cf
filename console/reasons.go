package console

import (
	"strings"

	"latchkey/shared/verdict"
)

// reasonTexts say why a key can't be used, as the end of a sentence: "the key is disabled".
var reasonTexts = map[verdict.Reason]string{
	verdict.OK:                 "the key is valid",
	verdict.KeyDisabled:        "the key is disabled",
	verdict.KeyPendingDeletion: "the key is scheduled to be deleted",
	verdict.KeyDeleted:         "the key was deleted",
	verdict.KeyNotFound:        "there is no such key",
	verdict.KeyPendingImport:   "the key has no material yet",
	verdict.KeyNotReady:        "the key is still being made",
	verdict.KeyExpired:         "the key has expired",
	verdict.KeyExpiring:        "the key is about to expire",
	verdict.KeyNotActive:       "the key is not active yet",
	verdict.KeyUnsuitable:      "the key cannot both encrypt and decrypt",
	verdict.AccessDenied:       "the key refuses access",
	verdict.RoleDenied:         "the role cannot be assumed",
	verdict.CredentialsInvalid: "the credentials are not valid",
	verdict.CredentialsExpired: "the credentials have expired",
	verdict.NetworkRefused:     "the provider's network rules refuse access",
	verdict.ConnectFailed:      "the provider cannot be reached",
	verdict.TimedOut:           "the provider did not answer in time",
	verdict.ProviderError:      "the provider has a problem",
	verdict.KeyUnavailable:     "the key is unavailable at the provider",
	verdict.RateLimited:        "the provider allows no more requests for now",
}

// ReasonText says why a key can't be used, as the end of a sentence. The reason's code stands for one
// that is about the service itself.
func ReasonText(reason string) string {
	if text := reasonTexts[verdict.Reason(reason)]; text != "" {
		return text
	}
	if reason == "" {
		return "the reason is not known"
	}
	return strings.ToLower(strings.ReplaceAll(reason, "_", " "))
}
