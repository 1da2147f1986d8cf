package project

import (
	"context"
	"errors"
	"maps"
	"reflect"

	"latchkey/shared/audit"
	"latchkey/shared/identity"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// Preferences is what a tenant may tune in a group. Latchkey keeps them, because clients set
// them and expect them back; none of them changes what it does.
type Preferences struct {
	Settings Settings `json:"settings"`
	// ManagedSlowMs is whether the slow-operation threshold is managed.
	ManagedSlowMs bool `json:"managedSlowMs"`
	// Limits holds the limits that differ from their default, by name.
	Limits map[string]int64 `json:"limits,omitempty"`
}

// Settings are the switches of a group (CONTRACT 7.1).
type Settings struct {
	AtlasHomePageAIAssistant  bool `json:"isAtlasHomePageAiAssistantEnabled"`
	ClusterAIAssistant        bool `json:"isClusterAiAssistantEnabled"`
	CollectDatabaseStatistics bool `json:"isCollectDatabaseSpecificsStatisticsEnabled"`
	DataExplorer              bool `json:"isDataExplorerEnabled"`
	DataExplorerGenAI         bool `json:"isDataExplorerGenAIFeaturesEnabled"`
	DataExplorerGenAISamples  bool `json:"isDataExplorerGenAISampleDocumentPassingEnabled"`
	DataValidation            bool `json:"isDataValidationEnabled"`
	ExtendedStorageSizes      bool `json:"isExtendedStorageSizesEnabled"`
	NativeReranking           bool `json:"isNativeRerankingEnabled"`
	PerformanceAdvisor        bool `json:"isPerformanceAdvisorEnabled"`
	RealtimePerformancePanel  bool `json:"isRealtimePerformancePanelEnabled"`
	SchemaAdvisor             bool `json:"isSchemaAdvisorEnabled"`
}

// defaultPreferences are those of a new group on the real service.
func defaultPreferences() Preferences {
	return Preferences{
		Settings: Settings{
			AtlasHomePageAIAssistant: true, ClusterAIAssistant: true, CollectDatabaseStatistics: true,
			DataExplorer: true, DataExplorerGenAI: true, DataValidation: true, PerformanceAdvisor: true,
			RealtimePerformancePanel: true, SchemaAdvisor: true,
		},
		ManagedSlowMs: true,
	}
}

// Preferences reads what is tuned in an open group, with the defaults for the rest.
func (s *Service) Preferences(ctx context.Context, groupID string) (Preferences, error) {
	if _, err := s.Open(ctx, groupID); err != nil {
		return Preferences{}, err
	}
	p, _, err := s.preferences(ctx, groupID)
	return p, err
}

func (s *Service) preferences(ctx context.Context, groupID string) (Preferences, int64, error) {
	p := defaultPreferences()
	item, err := s.Table.Get(ctx, keys.Preferences(groupID))
	if errors.Is(err, store.ErrNotFound) {
		return p, 0, nil
	}
	if err != nil {
		return p, 0, err
	}
	p, err = store.Decode[Preferences](item)
	return p, item.Version, err
}

// Tune changes preferences of an open group. change edits the present ones; a change that
// changes nothing writes nothing. It may be called more than once.
func (s *Service) Tune(ctx context.Context, c identity.Caller, groupID string, change func(*Preferences) error) (Preferences, error) {
	var after Preferences
	err := store.Again(attempts, func() error {
		g, err := s.Open(ctx, groupID)
		if err != nil {
			return err
		}
		before, version, err := s.preferences(ctx, groupID)
		if err != nil {
			return err
		}
		after = before.clone()
		if err := change(&after); err != nil {
			return err
		}
		if reflect.DeepEqual(before, after) {
			return nil
		}
		item, err := store.Encode(keys.Preferences(groupID), version, after)
		if err != nil {
			return err
		}
		events, err := s.Journal.PutAll(s.tuned(c, g, before, after)...)
		if err != nil {
			return err
		}
		return s.Table.Write(ctx, append(events, g.Guard(), store.Put(item))...)
	})
	return after, err
}

func (p Preferences) clone() Preferences {
	p.Limits = maps.Clone(p.Limits)
	return p
}

// tuned tells in events what was changed, by the API's own types where it has one.
func (s *Service) tuned(c identity.Caller, g Group, before, after Preferences) []audit.Event {
	var events []audit.Event
	add := func(t audit.Type) {
		events = append(events, audit.New(s.Now(), t, audit.By(c), g.OrgID, g.ID))
	}
	old, now := before.Settings, after.Settings
	if old.DataExplorer != now.DataExplorer {
		t := DataExplorerDisabled
		if now.DataExplorer {
			t = DataExplorerEnabled
		}
		add(t)
	}
	if old.ExtendedStorageSizes != now.ExtendedStorageSizes {
		add(ExtendedStorage)
	}
	if !reflect.DeepEqual(before.Limits, after.Limits) {
		add(LimitUpdated)
	}
	old.DataExplorer, old.ExtendedStorageSizes = now.DataExplorer, now.ExtendedStorageSizes
	if old != now || before.ManagedSlowMs != after.ManagedSlowMs {
		add(SettingsUpdated)
	}
	return events
}
