#include "proxy/session/image_ids.h"
#include "tests/support/test.h"

#include <stdio.h>

TEST(image_ids, equal_images_share_a_number)
{
	struct image_ids *ids = image_ids_new();
	uint32_t berlin = image_ids_of(ids, span_str("timezone=Europe/Berlin")), utc;

	EXPECT(berlin != 0);
	EXPECT_EQ(image_ids_of(ids, span_str("")), 0);
	utc = image_ids_of(ids, span_str("timezone=UTC"));
	EXPECT(utc != 0);
	EXPECT(utc != berlin);
	EXPECT_EQ(image_ids_of(ids, span_str("timezone=Europe/Berlin")), berlin);
	EXPECT_EQ(image_ids_of(ids, span_str("timezone=UTC")), utc);
	image_ids_free(&ids);
	EXPECT(ids == NULL);
	image_ids_free(&ids);
}

TEST(image_ids, beyond_what_is_remembered_nobody_shares)
{
	struct image_ids *ids = image_ids_new();
	uint32_t first, last = 0;
	char key[32];

	for (uint32_t i = 0; i < IMAGE_IDS_MAX; i++) {
		snprintf(key, sizeof key, "app.n=%u", i);
		last = image_ids_of(ids, span_str(key));
	}
	EXPECT_EQ(image_ids_of(ids, span_str(key)), last);
	first = image_ids_of(ids, span_str("app.n=more"));
	EXPECT(first != last);
	EXPECT(image_ids_of(ids, span_str("app.n=more")) != first);
	EXPECT_EQ(image_ids_of(ids, span_str("app.n=0")), 1);
	image_ids_free(&ids);
}
