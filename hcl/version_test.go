package hcl

import "testing"

func TestSatisfies(t *testing.T) {
	tests := []struct {
		version, constraint string
		want, wantErr       bool
	}{
		{"0.1.0", ">= 0.1.0", true, false},
		{"0.1.0", ">= 0.1.1", false, false},
		{"v1.2.3", "~> 1.2", true, false},
		{"2.0.0", "~> 1.2", false, false},
		{"1.3.0", "~> 1.2.0", false, false},
		{"1.2.9", "~> 1.2.0", true, false},
		{"1.2.0", "= 1.2, != 1.3", true, false},
		{"1.2.0", "1.2.1", false, false},
		{"0.9.0", "> 0.9, < 1", false, false},
		{"1.0.0-rc1", "<= 1.0.0", true, false},
		{"development", ">= 9", true, false},
		{"", ">= 9", true, false},
		{"1.0.0", ">= x", false, true},
		{"1.0.0", "=> 1", false, true},
		{"1.0.0", "", false, true},
		{"1.0.0", ">= 1.2.3.4", false, true},
	}
	for _, tt := range tests {
		got, err := satisfies(tt.version, tt.constraint)
		if got != tt.want || (err != nil) != tt.wantErr {
			t.Errorf("satisfies(%q, %q) = %v, %v; want %v, error %v", tt.version, tt.constraint, got, err, tt.want, tt.wantErr)
		}
	}
}
