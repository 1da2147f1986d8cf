package encryption

import (
	"errors"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

// refusals is the one table from why a key could not be used to what the client is told, by
// provider (CONTRACT 3.6). Reasons that a provider does not know are left out.
var refusals = map[atlas.Provider]map[verdict.Reason]atlas.Code{
	atlas.AWS: {
		verdict.KeyDisabled: atlas.AWSKeyNotEnabled, verdict.KeyNotReady: atlas.AWSKeyNotEnabled,
		verdict.KeyPendingDeletion: atlas.AWSKeyPendingDeletion, verdict.KeyPendingImport: atlas.AWSKeyPendingImport,
		verdict.KeyNotFound: atlas.AWSKeyNotFound, verdict.KeyDeleted: atlas.AWSKeyNotFound,
		verdict.KeyUnsuitable: atlas.AWSKeyUnsuitable, verdict.AccessDenied: atlas.NoPermission,
		verdict.RoleDenied: atlas.CannotAssumeRole, verdict.CredentialsInvalid: atlas.InvalidAWSCredentials,
		verdict.CredentialsExpired: atlas.InvalidAWSCredentials,
	},
	atlas.Azure: {
		verdict.KeyDisabled: atlas.AzureKeyNotEnabled, verdict.KeyNotFound: atlas.AzureKeyNotFound,
		verdict.KeyDeleted: atlas.AzureKeyNotFound, verdict.KeyExpired: atlas.AzureKeyExpired,
		verdict.KeyExpiring: atlas.AzureKeyExpiring, verdict.KeyNotActive: atlas.AzureKeyNotActive,
		verdict.KeyUnsuitable: atlas.AzureKeyUnsuitable, verdict.AccessDenied: atlas.NoPermission,
		verdict.RoleDenied: atlas.CannotAuthenticateSP, verdict.CredentialsInvalid: atlas.InvalidAzureCredentials,
		verdict.CredentialsExpired: atlas.InvalidAzureCredentials, verdict.RequestInvalid: atlas.InvalidAzureAPIRequest,
	},
	atlas.GCP: {
		verdict.KeyDisabled: atlas.GoogleKeyDisabled, verdict.KeyPendingDeletion: atlas.GoogleKeyDestroyScheduled,
		verdict.KeyDeleted: atlas.GoogleKeyDestroyed, verdict.KeyNotFound: atlas.GoogleKeyNotFound,
		verdict.KeyNotReady: atlas.GoogleKeyPending, verdict.KeyPendingImport: atlas.GoogleKeyPending,
		verdict.KeyUnsuitable: atlas.GoogleKeyUnsuitable, verdict.AccessDenied: atlas.NoPermission,
		verdict.RoleDenied: atlas.InvalidGoogleCredentials, verdict.CredentialsInvalid: atlas.InvalidGoogleCredentials,
		verdict.CredentialsExpired: atlas.InvalidGoogleCredentials,
	},
}

// retryAfter is when a client should come back after a provider could not be reached.
const retryAfter = 30 * time.Second

// refusal turns a failure to use a key into the client's error. nil stays nil, and an error
// that is already the client's stays as it is.
func refusal(err error, s Settings, p atlas.Provider) error {
	failure, ok := errors.AsType[*verdict.Failure](err)
	if !ok {
		return err
	}
	if code, ok := refusals[p][failure.Reason]; ok {
		return explain(code, failure, s, p).Because(err)
	}
	switch failure.Class() {
	case verdict.Unreachable, verdict.Throttled:
		e := atlas.Fail(atlas.KMSUnreachable).Because(err)
		e.RetryAfter = retryAfter
		switch {
		case errors.Is(err, errNoWay):
			e = e.Hinting("It is reached over private endpoints only, and no active one leads to it; see GET /groups/%s/encryptionAtRest/%s/privateEndpoints.", s.GroupID, p)
		case failure.Reason == verdict.NetworkRefused:
			e = e.Hinting("Its network rules refused the address of Latchkey's control plane; see GET /api/atlas/v2/unauth/controlPlaneIPAddresses.")
		}
		return e
	case verdict.Valid, verdict.Invalid, verdict.Inconclusive:
	}
	return atlas.Fail(atlas.UnexpectedError).Because(err)
}

// explain fills in what a code's sentence names and says what to do.
func explain(code atlas.Code, f *verdict.Failure, s Settings, p atlas.Provider) *atlas.Error {
	name := s.keyName(p)
	switch code {
	case atlas.InvalidAzureAPIRequest:
		return atlas.Fail(code).Hinting("Azure Resource Manager has no key vault %s in the resource group %s of the subscription %s.",
			s.Azure.VaultName, s.Azure.ResourceGroup, s.Azure.SubscriptionID)
	case atlas.InvalidAWSCredentials, atlas.InvalidAzureCredentials, atlas.InvalidGoogleCredentials:
		e := atlas.Fail(code)
		if f.Reason == verdict.CredentialsExpired {
			e = e.Hinting("They have expired.")
		}
		return e
	case atlas.CannotAssumeRole, atlas.CannotAuthenticateSP:
		return atlas.Fail(code, s.RoleID(p))
	case atlas.AWSKeyNotFound:
		return atlas.Fail(code, name, s.AWS.Region).Hinting("A key of another AWS account must be given as its full ARN.")
	case atlas.NoPermission:
		return atlas.Fail(code, name).Hinting("%s", permissions[p])
	default:
		return atlas.Fail(code, name)
	}
}

// permissions says what the documents ask a customer to grant.
var permissions = map[atlas.Provider]string{
	atlas.AWS:   "Allow kms:DescribeKey, kms:Encrypt and kms:Decrypt in the role's policy and in the key policy.",
	atlas.Azure: "Allow Get, Encrypt and Decrypt on the vault's keys.",
	atlas.GCP:   "Grant roles/cloudkms.cryptoKeyEncrypterDecrypter on the key.",
}
