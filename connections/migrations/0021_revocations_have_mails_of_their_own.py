from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("connections", "0020_one_mail_for_many_links")]

    operations = [
        migrations.RemoveConstraint(model_name="noticemail", name="notice_mail_few_a_day"),
        migrations.AlterField(
            model_name="noticemail",
            name="kind",
            field=models.CharField(
                choices=[
                    ("digest", "Digest"),
                    ("urgent", "At once"),
                    ("revoked", "At once, of a revocation"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="noticemail",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "digest"), ("number", 0)),
                    models.Q(("kind", "urgent"), ("number__lt", 3)),
                    models.Q(("kind", "revoked"), ("number__lt", 10)),
                    _connector="OR",
                ),
                name="notice_mail_few_a_day",
            ),
        ),
    ]
