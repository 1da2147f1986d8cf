package cluster

import (
	"encoding/json"
	"slices"

	"latchkey/shared/atlas"
)

// ProcessArgs are the database processes' settings. It is the whole of what any version of the
// API shows; nil is the database's own default.
type ProcessArgs struct {
	atlas.TLSConfiguration

	ChangeStreamExpirySeconds        *int     `json:"changeStreamOptionsPreAndPostImagesExpireAfterSeconds"`
	ChunkMigrationConcurrency        *int     `json:"chunkMigrationConcurrency"`
	DefaultMaxTimeMS                 *int     `json:"defaultMaxTimeMS"`
	DefaultReadConcern               *string  `json:"defaultReadConcern"`
	DefaultWriteConcern              *string  `json:"defaultWriteConcern"`
	FailIndexKeyTooLong              *bool    `json:"failIndexKeyTooLong"`
	JavascriptEnabled                *bool    `json:"javascriptEnabled"`
	NoTableScan                      *bool    `json:"noTableScan"`
	OplogMinRetentionHours           *float64 `json:"oplogMinRetentionHours"`
	OplogSizeMB                      *int     `json:"oplogSizeMB"`
	QueryStatsLogVerbosity           *int     `json:"queryStatsLogVerbosity"`
	SampleRefreshIntervalBIConnector *int     `json:"sampleRefreshIntervalBIConnector"`
	SampleSizeBIConnector            *int     `json:"sampleSizeBIConnector"`
	TransactionLifetimeLimitSeconds  *int64   `json:"transactionLifetimeLimitSeconds"`
}

// defaultArgs are what the real service shows for a new cluster (CONTRACT 6.4).
func defaultArgs() ProcessArgs {
	majority, yes, no := "majority", true, false
	return ProcessArgs{
		TLSConfiguration: atlas.TLSConfiguration{
			CustomTLS12: []string{}, CustomTLS13: []string{}, MinimumTLSProtocol: "TLS1_2", CipherConfigMode: defaultCiphers,
		},
		DefaultWriteConcern: &majority, JavascriptEnabled: &yes, NoTableScan: &no,
	}
}

// clone copies the arguments so that decoding into the copy leaves the original alone.
func (a ProcessArgs) clone() (ProcessArgs, error) {
	document, err := json.Marshal(a)
	if err != nil {
		return ProcessArgs{}, err
	}
	var c ProcessArgs
	err = json.Unmarshal(document, &c)
	return c, err
}

// Modes of choosing TLS ciphers.
const (
	defaultCiphers = "DEFAULT"
	customCiphers  = "CUSTOM"
)

// ciphersTLS12 and ciphersTLS13 are what may be chosen.
var (
	ciphersTLS12 = []string{
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	}
	ciphersTLS13 = []string{"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256"}
)

// mergeTLS returns the arguments with the TLS part of a cluster request.
func (a ProcessArgs) mergeTLS(r *atlas.TLSConfigurationRequest) (ProcessArgs, error) {
	if r == nil {
		return a, nil
	}
	if r.CustomTLS12 != nil {
		a.CustomTLS12 = slices.Clone(*r.CustomTLS12)
	}
	if r.CustomTLS13 != nil {
		a.CustomTLS13 = slices.Clone(*r.CustomTLS13)
	}
	if r.MinimumTLSProtocol != nil {
		a.MinimumTLSProtocol = *r.MinimumTLSProtocol
	}
	if r.CipherConfigMode != nil {
		a.CipherConfigMode = *r.CipherConfigMode
	}
	return a.check()
}

// check returns the arguments with empty lists for absent ones, or says what is wrong.
func (a ProcessArgs) check() (ProcessArgs, error) {
	if a.CustomTLS12 == nil {
		a.CustomTLS12 = []string{}
	}
	if a.CustomTLS13 == nil {
		a.CustomTLS13 = []string{}
	}
	if err := oneOf(a.MinimumTLSProtocol, "TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"); err != nil {
		return ProcessArgs{}, err
	}
	if err := oneOf(a.CipherConfigMode, defaultCiphers, customCiphers); err != nil {
		return ProcessArgs{}, err
	}
	if a.CipherConfigMode == defaultCiphers && len(a.CustomTLS12)+len(a.CustomTLS13) > 0 {
		return ProcessArgs{}, atlas.Fail(atlas.InvalidAttribute, "tlsCipherConfigMode").Hinting("Custom ciphers need the mode %s.", customCiphers)
	}
	for _, list := range []struct {
		name            string
		chosen, allowed []string
	}{{"customOpensslCipherConfigTls12", a.CustomTLS12, ciphersTLS12}, {"customOpensslCipherConfigTls13", a.CustomTLS13, ciphersTLS13}} {
		if len(list.chosen) > len(list.allowed) {
			return ProcessArgs{}, atlas.Fail(atlas.InvalidAttribute, list.name).Hinting("There are %d to choose from.", len(list.allowed))
		}
		for _, cipher := range list.chosen {
			if err := oneOf(cipher, list.allowed...); err != nil {
				return ProcessArgs{}, err
			}
		}
	}
	if err := a.checkConcerns(); err != nil {
		return ProcessArgs{}, err
	}
	return a, a.checkNumbers()
}

// maxConcern bounds the name of a concern, which is a level or what the tenant calls a set of tags.
const maxConcern = 256

func (a ProcessArgs) checkConcerns() error {
	for name, concern := range map[string]*string{"defaultReadConcern": a.DefaultReadConcern, "defaultWriteConcern": a.DefaultWriteConcern} {
		if concern != nil && len(*concern) > maxConcern {
			return atlas.Fail(atlas.InvalidAttribute, name).Hinting("It may have at most %d bytes.", maxConcern)
		}
	}
	return nil
}

func (a ProcessArgs) checkNumbers() error {
	for _, n := range []struct {
		name  string
		value *int
		least int
	}{
		{"changeStreamOptionsPreAndPostImagesExpireAfterSeconds", a.ChangeStreamExpirySeconds, -1},
		{"chunkMigrationConcurrency", a.ChunkMigrationConcurrency, 0},
		{"defaultMaxTimeMS", a.DefaultMaxTimeMS, 0},
		{"oplogSizeMB", a.OplogSizeMB, 0},
		{"sampleRefreshIntervalBIConnector", a.SampleRefreshIntervalBIConnector, 0},
		{"sampleSizeBIConnector", a.SampleSizeBIConnector, 0},
	} {
		if n.value != nil && *n.value < n.least {
			return atlas.Fail(atlas.InvalidAttribute, n.name).Hinting("It must be at least %d.", n.least)
		}
	}
	switch {
	case a.OplogMinRetentionHours != nil && *a.OplogMinRetentionHours < 0:
		return atlas.Fail(atlas.InvalidAttribute, "oplogMinRetentionHours").Hinting("It must not be negative.")
	case a.TransactionLifetimeLimitSeconds != nil && *a.TransactionLifetimeLimitSeconds < 1:
		return atlas.Fail(atlas.InvalidAttribute, "transactionLifetimeLimitSeconds").Hinting("It must be at least 1.")
	case a.QueryStatsLogVerbosity != nil && *a.QueryStatsLogVerbosity != 1 && *a.QueryStatsLogVerbosity != 3:
		return atlas.Fail(atlas.InvalidAttribute, "queryStatsLogVerbosity").Hinting("It must be 1 or 3.")
	}
	return nil
}
