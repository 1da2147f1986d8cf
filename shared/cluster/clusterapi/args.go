package clusterapi

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/httpapi"
)

// argsView shows process arguments as 2024-08-05 does. Members that the database decides on
// itself are null.
type argsView struct {
	ChangeStreamExpirySeconds *int     `json:"changeStreamOptionsPreAndPostImagesExpireAfterSeconds"`
	ChunkMigrationConcurrency *int     `json:"chunkMigrationConcurrency"`
	CustomTLS12               []string `json:"customOpensslCipherConfigTls12"`
	CustomTLS13               []string `json:"customOpensslCipherConfigTls13"`
	DefaultMaxTimeMS          *int     `json:"defaultMaxTimeMS"`
	DefaultWriteConcern       *string  `json:"defaultWriteConcern"`
	JavascriptEnabled         *bool    `json:"javascriptEnabled"`
	MinimumTLSProtocol        string   `json:"minimumEnabledTlsProtocol"`
	NoTableScan               *bool    `json:"noTableScan"`
	OplogMinRetentionHours    *float64 `json:"oplogMinRetentionHours"`
	OplogSizeMB               *int     `json:"oplogSizeMB"`
	QueryStatsLogVerbosity    *int     `json:"queryStatsLogVerbosity"`
	SampleRefreshInterval     *int     `json:"sampleRefreshIntervalBIConnector"`
	SampleSize                *int     `json:"sampleSizeBIConnector"`
	CipherConfigMode          string   `json:"tlsCipherConfigMode"`
	TransactionLifetime       *int64   `json:"transactionLifetimeLimitSeconds"`
}

// args20230101View has two members more.
type args20230101View struct {
	argsView

	DefaultReadConcern  *string `json:"defaultReadConcern"`
	FailIndexKeyTooLong *bool   `json:"failIndexKeyTooLong"`
}

func viewArgs(r *httpapi.Request, a cluster.ProcessArgs) any {
	view := argsView{
		ChangeStreamExpirySeconds: a.ChangeStreamExpirySeconds, ChunkMigrationConcurrency: a.ChunkMigrationConcurrency,
		CustomTLS12: a.CustomTLS12, CustomTLS13: a.CustomTLS13, DefaultMaxTimeMS: a.DefaultMaxTimeMS,
		DefaultWriteConcern: a.DefaultWriteConcern, JavascriptEnabled: a.JavascriptEnabled, MinimumTLSProtocol: a.MinimumTLSProtocol,
		NoTableScan: a.NoTableScan, OplogMinRetentionHours: a.OplogMinRetentionHours, OplogSizeMB: a.OplogSizeMB,
		QueryStatsLogVerbosity: a.QueryStatsLogVerbosity, SampleRefreshInterval: a.SampleRefreshIntervalBIConnector,
		SampleSize: a.SampleSizeBIConnector, CipherConfigMode: a.CipherConfigMode, TransactionLifetime: a.TransactionLifetimeLimitSeconds,
	}
	if r.Version == atlas.V20230101 {
		return args20230101View{argsView: view, DefaultReadConcern: a.DefaultReadConcern, FailIndexKeyTooLong: a.FailIndexKeyTooLong}
	}
	return view
}

func (a API) getArgs(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	d, err := a.find(ctx, r)
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewArgs(r, d.Args)), nil
}

// updateArgs decodes the body over the present arguments: what is absent stays, and null goes
// back to the database's own default.
func (a API) updateArgs(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	args, err := a.Clusters.UpdateArgs(ctx, r.Caller, r.GroupID(), r.Param("clusterName"), func(args *cluster.ProcessArgs) error {
		return httpapi.Decode(r.Body, args)
	})
	if err != nil {
		return httpapi.Response{}, err
	}
	return httpapi.OK(viewArgs(r, args)), nil
}
