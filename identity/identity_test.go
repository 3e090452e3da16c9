package identity

import (
	"slices"
	"strings"
	"testing"
)

func TestPhone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, region, want string }{
		{"as kept in records", "79995551111", "RU", "79995551111"},
		{"plus and spaces", "+7 999 555-11-11", "RU", "79995551111"},
		{"brackets", "8 (999) 555-11-11", "RU", "79995551111"},
		{"eight becomes seven", "89995551111", "RU", "79995551111"},
		{"ten digits of a mobile", "9995551111", "RU", "79995551111"},
		{"ten digits of Moscow", "4951234567", "RU", "74951234567"},
		{"ten digits of Yekaterinburg", "3433111111", "RU", "73433111111"},
		{"free line", "88005553535", "RU", "78005553535"},
		{"word before", "тел. 8 999 555 11 11", "RU", "79995551111"},
		{"extension in Russian", "+7 495 123-45-67 доб. 105", "RU", "74951234567"},
		{"extension in English", "+7 495 123-45-67 ext 105", "RU", "74951234567"},
		{"extension after a comma", "+74951234567,105", "RU", "74951234567"},
		{"non-breaking spaces", "+7\u00a0999\u00a0555\u00a011\u00a011", "RU", "79995551111"},
		{"number of no plan", "8 000 000 00 01", "RU", "70000000001"},
		{"Belarus without plus", "375291234567", "RU", "375291234567"},
		{"Ukraine with plus", "+380 50 123 45 67", "RU", "380501234567"},
		{"Ukraine in its own region", "050 123 45 67", "UA", "380501234567"},
		{"Germany with 00", "0049 30 901820 11", "RU", "493090182011"},
		{"United States in its own region", "(212) 555-0123", "US", "12125550123"},
		{"eight stays in another region", "81234567890", "US", "81234567890"},
		{"no region", "+79995551111", "", "79995551111"},
		{"Kazakhstan", "8 701 123 45 67", "KZ", "77011234567"},
		{"empty", "", "RU", ""},
		{"words", "не указан", "RU", ""},
		{"short", "112", "RU", ""},
		{"sixteen digits", "1234567890123456", "RU", ""},
		{"zeros", "0000000000", "RU", ""},
		{"masked", "7999***1111", "RU", ""},
		{"endless", strings.Repeat("7", 5000), "RU", ""},
		{"broken text", "\xff\xfe+7", "RU", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := Phone(tt.text, tt.region)
			if ok != (tt.want != "") || ok && got != tt.want {
				t.Errorf("Phone(%q, %q) = %q, %v; want %q", tt.text, tt.region, got, ok, tt.want)
			}
		})
	}
}

func TestPhones(t *testing.T) {
	t.Parallel()
	got := Phones([]string{"+7 999 555-11-11", "нет", "89995551111", "8 495 123-45-67; +7 812 123 45 67", ""}, "RU")
	want := []string{"79995551111", "74951234567", "78121234567"}
	if !slices.Equal(got, want) {
		t.Errorf("Phones = %q, want %q", got, want)
	}
	if got := Phones(nil, "RU"); got != nil {
		t.Errorf("Phones(nil) = %q", got)
	}
}

func TestEmail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "mail@yandex.ru", "mail@yandex.ru"},
		{"upper case and spaces", "  Mail@Yandex.RU\n", "mail@yandex.ru"},
		{"plus and dots", "a.b+c@mail.example.com", "a.b+c@mail.example.com"},
		{"with a name", "Иван <ivan@example.ru>", "ivan@example.ru"},
		{"mailto", "mailto:ivan@example.ru", "ivan@example.ru"},
		{"punycode domain", "a@xn--e1afmkfd.xn--p1ai", "a@xn--e1afmkfd.xn--p1ai"},
		{"empty", "", ""},
		{"no at", "example.ru", ""},
		{"two ats", "a@b@example.ru", ""},
		{"no local part", "@example.ru", ""},
		{"no domain", "ivan@", ""},
		{"no dot in domain", "ivan@localhost", ""},
		{"empty label", "ivan@example..ru", ""},
		{"hyphen at an edge", "ivan@-example.ru", ""},
		{"Cyrillic local part", "иван@example.ru", ""},
		{"Cyrillic domain", "ivan@пример.рф", ""},
		{"space inside", "iv an@example.ru", ""},
		{"endless", strings.Repeat("a", 300) + "@example.ru", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := Email(tt.text)
			if ok != (tt.want != "") || got != tt.want {
				t.Errorf("Email(%.40q) = %q, %v; want %q", tt.text, got, ok, tt.want)
			}
		})
	}
}

func TestEmails(t *testing.T) {
	t.Parallel()
	got := Emails([]string{"A@example.ru", "a@example.ru, b@example.ru", "-", "c@example.ru;d@example.ru"})
	want := []string{"a@example.ru", "b@example.ru", "c@example.ru", "d@example.ru"}
	if !slices.Equal(got, want) {
		t.Errorf("Emails = %q, want %q", got, want)
	}
}

// The vectors of yandex-metrica §5.9.
func TestMD5(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mail@yandex.ru": "3c56ff8fef0f6c65b36b2d25720fe276",
		"79995551111":    "f09f2c3d48f31e2a802944ade2e5aec5",
	} {
		if got := MD5(text); got != want || !IsMD5(got) {
			t.Errorf("MD5(%q) = %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "3C56FF8FEF0F6C65B36B2D25720FE276", "zz56ff8fef0f6c65b36b2d25720fe276", "3c56"} {
		if IsMD5(text) {
			t.Errorf("IsMD5(%q) = true", text)
		}
	}
}

func TestClientID(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, want string
	}{
		{"usual", "1558423234123456789", "1558423234123456789"},
		{"spaces around", " 155842323432424 ", "155842323432424"},
		{"twenty digits", "18446744073709551615", "18446744073709551615"},
		{"over uint64", "18446744073709551616", ""},
		{"short", "123456789", ""},
		{"Google's", "GA1.2.1234567890.1234567890", ""},
		{"leading zero", "01558423234123456789", ""},
		{"other digits", "١٥٥٨٤٢٣٢٣٤", ""},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := ClientID(tt.text)
			if ok != (tt.want != "") || got != tt.want {
				t.Errorf("ClientID(%q) = %q, %v; want %q", tt.text, got, ok, tt.want)
			}
		})
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mask       func(string) string
		text, want string
	}{
		{MaskPhone, "79995551111", "7999*****11"},
		{MaskPhone, "112", "***"},
		{MaskPhone, "", ""},
		{MaskPhone, "семь девять", "***********"},
		{MaskEmail, "mail@yandex.ru", "m***@yandex.ru"},
		{MaskEmail, "ы@yandex.ru", "ы***@yandex.ru"},
		{MaskEmail, "no address", "****"},
		{MaskEmail, "@x.ru", "****"},
	} {
		if got := tt.mask(tt.text); got != tt.want {
			t.Errorf("mask of %q = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func FuzzPhone(f *testing.F) {
	for _, seed := range []string{"+7 999 555-11-11", "8 (495) 123-45-67 доб. 12", "ſ#\x00", "İ доб", "00", "1-800-FLOWERS"} {
		f.Add(seed, "RU")
	}
	f.Fuzz(func(t *testing.T, text, region string) {
		got, ok := Phone(text, region)
		if !ok {
			return
		}
		if len(got) < minPhoneDigits || len(got) > maxPhoneDigits || !onlyDigits(got) {
			t.Fatalf("Phone(%q) = %q", text, got)
		}
		if again, ok := Phone("+"+got, region); !ok || again != got {
			t.Fatalf("Phone(+%q) = %q, %v: not stable", got, again, ok)
		}
	})
}

func FuzzEmail(f *testing.F) {
	for _, seed := range []string{"Mail@Yandex.RU", "<a@b.c>", "mailto: a@b.c", "K@b.c", "<<a@b.c>>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := Email(text)
		if !ok {
			return
		}
		if again, ok := Email(got); !ok || again != got {
			t.Fatalf("Email(%q) = %q, then %q, %v", text, got, again, ok)
		}
		if strings.Count(got, "@") != 1 {
			t.Fatalf("Email(%q) = %q", text, got)
		}
	})
}

func BenchmarkPhone(b *testing.B) {
	for _, bm := range []struct{ name, text string }{{"kept", "79995551111"}, {"typed", "8 (999) 555-11-11"}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Phone(bm.text, "RU")
			}
		})
	}
}
